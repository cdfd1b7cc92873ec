/** Carries requests to Keystead by fetch: bounded in time, no redirects, no secrets in the clear. */

import { Busy, Refused, Unreachable, Unsafe } from "./errors.js";

export interface Connection {
  /** The address of Keystead, such as https://keys.example.com */
  readonly url: string;
  /** Milliseconds for a whole answer; 2000 if nothing is said. */
  readonly timeout?: number;
  /** Plain http would show every key to the network; it is refused but for this machine. */
  readonly allowPlainHttp?: boolean;
}

const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** Whether what goes there is for nobody else to read: by TLS, or because it does not leave the machine. */
export function refusePlain(url: URL, allowed: boolean): void {
  if (url.protocol !== "https:" && !LOOPBACK.has(url.hostname) && !allowed) {
    throw new Unsafe("Plain http would show the key to the network: use https, or say allowPlainHttp.", "unsafe");
  }
}

export class Transport {
  readonly #base: string;
  readonly #timeout: number;

  constructor({ url, timeout = 2000, allowPlainHttp = false }: Connection) {
    const address = new URL(url);
    if (address.search || address.hash) throw new RangeError("the address of Keystead looks like https://keys.example.com");
    refusePlain(address, allowPlainHttp);
    this.#base = url.replace(/\/+$/, "");
    this.#timeout = timeout;
  }

  /** Sends one request; returns the JSON of a 2xx, throws Refused, Busy or Unreachable otherwise. */
  async ask(
    method: string,
    path: string,
    { bearer, body, headers = {} }: { bearer: string; body?: unknown; headers?: Record<string, string> },
  ): Promise<unknown> {
    let status: number, text: string, retryAfter: string | null;
    try {
      const answer = await fetch(this.#base + path, {
        method,
        headers: {
          ...headers,
          Authorization: `Bearer ${bearer}`,
          ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        redirect: "manual",
        signal: AbortSignal.timeout(this.#timeout),
      });
      [status, text, retryAfter] = [answer.status, await answer.text(), answer.headers.get("retry-after")];
    } catch (error) {
      // The class and its words, never the request: it held a secret.
      throw new Unreachable(`Keystead did not answer: ${error instanceof Error ? error.message : "?"}`, "unreachable");
    }
    const said = readJson(text);
    if (status >= 200 && status < 300) {
      if (said === undefined && text !== "") throw new Unreachable("The answer is not JSON.", "not_json");
      return said;
    }
    throw refusalOf(status, said, retryAfter);
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function refusalOf(status: number, problem: unknown, retryAfter: string | null): Refused | Unreachable {
  if (!isObject(problem) || typeof problem["code"] !== "string") {
    return new Unreachable(`Something answered ${status}, and not in the words of Keystead.`, "not_a_problem");
  }
  const members = { ...problem, ...(retryAfter && /^\d+$/.test(retryAfter) ? { retry_after: Number(retryAfter) } : {}) };
  const words = String(problem["detail"] ?? problem["title"] ?? problem["code"]);
  const kind = status === 429 || status === 503 ? Busy : Refused;
  return new kind(words, problem["code"], status, members);
}
