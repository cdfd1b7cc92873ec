/** Carries requests to Keystead by fetch: bounded in time and size, no redirects, no secrets in the clear. */

import { Busy, KeysteadError, MalformedKey, Refused, Unreachable, Unsafe } from "./errors.js";

export interface Connection {
  /** The address of Keystead, such as https://keys.example.com */
  readonly url: string;
  /** Milliseconds for a whole answer; 2000 if nothing is said. */
  readonly timeout?: number;
  /** Plain http would show every key to the network; it is refused but for this machine. */
  readonly allowPlainHttp?: boolean;
}

const LONGEST_LINE = 1024 * 1024;
const MOST_BYTES = 4 * 1024 * 1024;
const MOST_SNAPSHOT = 2 ** 31;
/** Milliseconds that a timer of Node takes; one that is longer would ring at once. */
export const LONGEST_TIMER = 2 ** 31 - 1;
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
}

interface Fetching {
  readonly bearer: string;
  readonly signal: AbortSignal;
}

/** A number of milliseconds that a timer can wait; RangeError for what is none. */
export function milliseconds(value: number, name: string): number {
  if (!(value > 0 && value <= LONGEST_TIMER)) throw new RangeError(`${name} is a number of milliseconds, more than 0 and at most ${LONGEST_TIMER}`);
  return Math.ceil(value);
}

export class Transport {
  readonly #base: string;
  readonly #timeout: number;
  readonly #allowPlainHttp: boolean;

  constructor({ url, timeout = 2000, allowPlainHttp = false }: Connection) {
    const address = new URL(url);
    if (!isAddress(address)) throw new RangeError("the address of Keystead looks like https://keys.example.com");
    refusePlain(address, allowPlainHttp);
    this.#base = url.replace(/\/+$/, "");
    this.#timeout = milliseconds(timeout, "timeout");
    this.#allowPlainHttp = allowPlainHttp;
  }

  /** Sends one request; returns the JSON of a 2xx, throws Refused, Busy or Unreachable otherwise. */
  async ask(method: string, path: string, asking: Asking): Promise<unknown> {
    const { bearer, body, headers } = asking;
    const init: RequestInit = {
      method,
      headers: { ...headers, ...shown(bearer), ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(this.#timeout),
    };
    const said = new TextDecoder().decode(await this.#said(path, init, MOST_BYTES));
    const value = readJson(said);
    if (value === undefined && said !== "") throw new Unreachable("The answer is not JSON.", "not_json");
    return value;
  }

  /** Fetches the bytes of a 2xx, until `signal`; throws as `ask` does. */
  bytes(path: string, { bearer, signal }: Fetching): Promise<Buffer> {
    return this.#said(path, { headers: shown(bearer), signal }, MOST_SNAPSHOT);
  }

  /** The lines of an answer that does not end, until `signal`; throws as `ask` does. */
  async *lines(address: string, { bearer, signal }: Fetching): AsyncGenerator<string> {
    const url = this.#url(address);
    const headers = { ...shown(bearer), Accept: "text/event-stream" };
    try {
      const answer = await fetch(url, { headers, redirect: "manual", signal });
      if (answer.status !== 200 || answer.body === null) {
        throw refusalOf(answer, await whole(answer, MOST_BYTES));
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
      throw unreachable(error);
    }
  }

  /** An address that Keystead named, if it may be asked; nothing for one that is none, or would show the credential. */
  elsewhere(address: unknown): string {
    if (typeof address !== "string" || !URL.canParse(address) || !isAddress(new URL(address))) return "";
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

  async #said(path: string, init: RequestInit, most: number): Promise<Buffer> {
    try {
      const answer = await sent(this.#url(path), { ...init, redirect: "manual" });
      if (answer.ok) return await whole(answer, most);
      throw refusalOf(answer, await whole(answer, MOST_BYTES));
    } catch (error) {
      throw unreachable(error);
    }
  }
}

/** The header that shows a credential. What fetch says of one that it cannot send would quote it. */
function shown(bearer: string): Record<string, string> {
  if (!isSendable(bearer)) throw new MalformedKey("The credential holds what no header may hold, such as a line break.", "unsendable");
  return { Authorization: `Bearer ${bearer}` };
}

/** Whether a text can stand in a header as it is. */
export function isSendable(text: string): boolean {
  return /^[\x21-\x7e]+$/.test(text);
}

function isAddress({ protocol, username, password, search, hash }: URL): boolean {
  return (protocol === "https:" || protocol === "http:") && !(username || password || search || hash);
}

/** Reads an answer to its end, and no more of one that has none than Keystead would say. */
async function whole(answer: Response, most: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of answer.body ?? []) {
    size += part.length;
    if (size > most) throw new Unreachable("The answer is too long to be Keystead's.", "too_long");
    parts.push(part);
  }
  return Buffer.concat(parts);
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

function unreachable(error: unknown): KeysteadError {
  if (error instanceof KeysteadError) return error;
  // The words, never the request: it held a secret. Those of fetch say only that it failed; what stands behind them says why.
  const behind: unknown = error instanceof Error ? error.cause : undefined;
  const why = [error, behind].flatMap((each) => (each instanceof Error ? [each.message || String((each as NodeJS.ErrnoException).code)] : []));
  return new Unreachable(`Keystead did not answer: ${why.join(": ") || "?"}`, "unreachable");
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function refusalOf({ status, headers }: Response, content: Buffer): Refused | Unreachable {
  const problem = readJson(new TextDecoder().decode(content));
  const retryAfter = headers.get("retry-after");
  if (!isObject(problem) || typeof problem["code"] !== "string") {
    return new Unreachable(`Something answered ${status}, and not in the words of Keystead.`, "not_a_problem");
  }
  const members = { ...problem, ...(retryAfter && /^\d+$/.test(retryAfter) ? { retry_after: Number(retryAfter) } : {}) };
  const words = String(problem["detail"] ?? problem["title"] ?? problem["code"]);
  const isBusy = status === 429 || status === 503 || problem["code"] === "idempotency_in_progress";
  const kind = isBusy ? Busy : Refused;
  return new kind(words, problem["code"], status, members);
}
