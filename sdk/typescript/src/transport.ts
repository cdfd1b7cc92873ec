/** Carries requests to Keystead by fetch: bounded in time, no redirects, no secrets in the clear. */

import { Busy, KeysteadError, Refused, Unreachable, Unsafe } from "./errors.js";

export interface Connection {
  /** The address of Keystead, such as https://keys.example.com */
  readonly url: string;
  /** Milliseconds for a whole answer; 2000 if nothing is said. */
  readonly timeout?: number;
  /** Plain http would show every key to the network; it is refused but for this machine. */
  readonly allowPlainHttp?: boolean;
}

const LONGEST_LINE = 1024 * 1024;
const CLOSED_MEANWHILE = new Set(["UND_ERR_SOCKET", "ECONNRESET", "EPIPE"]);
const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** Refuses to send where others could read it, by plain http to another machine, unless that was allowed. */
export function refusePlain(url: URL, allowed: boolean): void {
  if (url.protocol !== "https:" && !LOOPBACK.has(url.hostname) && !allowed) {
    throw new Unsafe("Plain http would show the key to the network: use https, or say allowPlainHttp.", "unsafe");
  }
}

interface Asking {
  readonly bearer: string;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  readonly timeout?: number;
}

export class Transport {
  readonly #base: string;
  readonly #timeout: number;
  readonly #allowPlainHttp: boolean;

  constructor({ url, timeout = 2000, allowPlainHttp = false }: Connection) {
    const address = new URL(url);
    if (address.search || address.hash) throw new RangeError("the address of Keystead looks like https://keys.example.com");
    refusePlain(address, allowPlainHttp);
    this.#base = url.replace(/\/+$/, "");
    this.#timeout = timeout;
    this.#allowPlainHttp = allowPlainHttp;
  }

  /** Sends one request; returns the JSON of a 2xx, throws Refused, Busy or Unreachable otherwise. */
  async ask(method: string, path: string, asking: Asking): Promise<unknown> {
    const said = await this.#said(method, path, asking, (answer) => answer.text());
    const value = readJson(said);
    if (value === undefined && said !== "") throw new Unreachable("The answer is not JSON.", "not_json");
    return value;
  }

  /** Fetches the bytes of a 2xx; throws as `ask` does. */
  async bytes(path: string, asking: Asking): Promise<Buffer> {
    return Buffer.from(await this.#said("GET", path, asking, (answer) => answer.arrayBuffer()));
  }

  /** The lines of an answer that does not end, until `signal`; throws as `ask` does. */
  async *lines(address: string, { bearer, signal }: { bearer: string; signal: AbortSignal }): AsyncGenerator<string> {
    const url = this.#url(address);
    const headers = { Authorization: `Bearer ${bearer}`, Accept: "text/event-stream" };
    try {
      const answer = await fetch(url, { headers, redirect: "manual", signal });
      if (answer.status !== 200 || answer.body === null) {
        throw refusalOf(answer.status, readJson(await answer.text()), answer.headers.get("retry-after"));
      }
      let rest = "";
      for await (const part of answer.body.pipeThrough(new TextDecoderStream())) {
        const found = part.split("\n"); // only what is new, or a long line would be searched again with each part of it
        found[0] = rest + found[0];
        rest = found.pop() ?? "";
        for (const line of found) yield line.endsWith("\r") ? line.slice(0, -1) : line;
        if (rest.length > LONGEST_LINE) throw new Unreachable("A line without end is none of Keystead's.", "not_a_line");
      }
    } catch (error) {
      throw error instanceof KeysteadError ? error : unreachable(error);
    }
  }

  /** An address that Keystead named, if it may be asked; nothing for one that is none, or would show the credential. */
  elsewhere(address: unknown): string {
    if (typeof address !== "string" || !URL.canParse(address)) return "";
    try {
      refusePlain(new URL(address), this.#allowPlainHttp);
      return address;
    } catch {
      return "";
    }
  }

  #url(address: string): string {
    return address.startsWith("/") ? this.#base + address : address;
  }

  async #said<T>(method: string, path: string, asking: Asking, read: (answer: Response) => Promise<T>): Promise<T> {
    const { bearer, body, headers = {}, timeout = this.#timeout } = asking;
    const init: RequestInit = {
      method,
      headers: {
        ...headers,
        Authorization: `Bearer ${bearer}`,
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      redirect: "manual",
      signal: AbortSignal.timeout(timeout),
    };
    let answer: Response, text: string;
    try {
      answer = await sent(this.#url(path), init);
      if (answer.ok) return await read(answer);
      text = await answer.text();
    } catch (error) {
      throw unreachable(error);
    }
    throw refusalOf(answer.status, readJson(text), answer.headers.get("retry-after"));
  }
}

/** Sends it, and once more where the server had closed a kept connection meanwhile: then nothing of it was read. */
async function sent(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch (error) {
    if (!isClosed(error)) throw error;
    return fetch(url, init);
  }
}

function isClosed(error: unknown): boolean {
  const cause: unknown = error instanceof Error ? error.cause : undefined;
  return isObject(cause) && CLOSED_MEANWHILE.has(String(cause["code"]));
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function unreachable(error: unknown): Unreachable {
  // The class and its words, never the request: it held a secret.
  return new Unreachable(`Keystead did not answer: ${error instanceof Error ? error.message : "?"}`, "unreachable");
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
