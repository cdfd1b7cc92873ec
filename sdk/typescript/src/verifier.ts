/** Asks Keystead about presented keys, failing closed. */

import { type AnyCredential, asCredential, type Credential, showing } from "./credentials.js";
import { Busy, Refused, telling, Unreachable } from "./errors.js";
import { kidOf } from "./keyText.js";
import { MalformedSignature } from "./signatureProfile.js";
import { readSigned } from "./signatureReading.js";
import { type SignedRequest, signedRequestJson } from "./signedRequests.js";
import { type Connection, isObject, Transport } from "./transport.js";
import { clientJson } from "./uses.js";
import { type Client, readVerdict, refusal, type Verdict } from "./verdicts.js";

const MOST_AT_ONCE = 100;
const MOST_BYTES = 60 * 1024; // of questions; the door reads 64 KiB

export interface Wanted {
  /** Scopes that this call needs, matched exactly. */
  readonly scopes?: readonly string[];
  readonly method?: string;
  readonly client?: Client;
}

export interface VerifierOptions extends Connection {
  readonly credential: AnyCredential;
  /** Is told why Keystead could not be asked, so that keys are refused with 503. */
  readonly onTrouble?: (error: unknown) => void;
}

export interface Question extends Wanted {
  readonly key: string;
}

/**
 * Decides about presented keys. Make one for the life of the process.
 *
 * A bad key, a network that is down and a Keystead that is busy are refusals, never exceptions. Only a mistake of the
 * service itself rejects with Refused, such as a credential that may not verify.
 */
export class Verifier {
  readonly #transport: Transport;
  readonly #credential: Credential;
  readonly #onTrouble: (error: unknown) => void;

  constructor({ credential, onTrouble = () => undefined, ...connection }: VerifierOptions) {
    this.#transport = new Transport(connection);
    this.#credential = asCredential(credential);
    this.#onTrouble = telling(onTrouble);
  }

  /** Decides about one key. */
  async verify(text: string | undefined, wanted: Wanted = {}): Promise<Verdict> {
    // A typo or a stranger's string costs Keystead nothing.
    if (!isReadable(text)) return refusal("malformed");
    return this.#failingClosed(async () => readVerdict(await this.#post("/v1/verify", questionJson({ ...wanted, key: text }))));
  }

  /** Decides about many keys, at most a hundred in a request; the verdicts come in the order of the questions. */
  async verifyMany(questions: readonly Question[]): Promise<Verdict[]> {
    const verdicts: Verdict[] = questions.map(() => refusal("malformed"));
    const readable = questions.flatMap((each, place) => (isReadable(each.key) ? [{ each, place }] : []));
    for (const asked of together(readable.map(({ each, place }) => ({ question: questionJson(each), place })))) {
      let found: Verdict[];
      try {
        const answer = await this.#post("/v1/verify:batch", { keys: asked.map(({ question }) => question) });
        found = resultsOf(answer, asked.length).map(readVerdict);
      } catch (error) {
        const refused = this.#unavailable(error);
        found = asked.map(() => refused);
      }
      asked.forEach(({ place }, index) => (verdicts[place] = found[index] as Verdict));
    }
    return verdicts;
  }

  /** Decides about a request signed by RFC 9421. Only Keystead can: it keeps the secrets and the nonces. */
  async verifySignature(request: SignedRequest, wanted: Omit<Wanted, "method"> = {}): Promise<Verdict> {
    const body = { ...signedRequestJson(request), ...wantedJson(wanted) };
    try {
      return await this.#failingClosed(async () => readVerdict(await this.#post("/v1/verify-signature", body)));
    } catch (error) {
      if (!isTheSenders(error)) throw error;
      return refusal("signature_malformed", { fault: faultOf(request) });
    }
  }

  async #failingClosed(ask: () => Promise<Verdict>): Promise<Verdict> {
    try {
      return await ask();
    } catch (error) {
      return this.#unavailable(error);
    }
  }

  #unavailable(error: unknown): Verdict {
    if (!(error instanceof Unreachable || error instanceof Busy)) throw error;
    this.#onTrouble(error);
    return refusal(error.code === "verifier_stale" ? "stale" : "unavailable");
  }

  #post(path: string, body: unknown): Promise<unknown> {
    return showing(this.#credential, (bearer) => this.#transport.ask("POST", path, { bearer, body }));
  }
}

/** In JavaScript it may be anything, such as a header that came twice. */
function isReadable(text: unknown): text is string {
  return typeof text === "string" && kidOf(text) !== undefined;
}

// Strangers choose how long their User-Agent is: what is too much for one request is no mistake of who asks.
function* together<Asked extends { question: Record<string, unknown> }>(all: readonly Asked[]): Generator<Asked[]> {
  let group: Asked[] = [];
  let size = 0;
  for (const each of all) {
    const length = Buffer.byteLength(JSON.stringify(each.question)) + 1;
    if (group.length > 0 && (group.length === MOST_AT_ONCE || size + length > MOST_BYTES)) {
      yield group;
      group = [];
      size = 0;
    }
    group.push(each);
    size += length;
  }
  if (group.length > 0) yield group;
}

/** Whether what could not be read came with the signed request. The scopes are the service's own. */
function isTheSenders(error: unknown): boolean {
  if (!(error instanceof Refused)) return false;
  const errors = error.members["errors"];
  return error.status === 413 || (error.status === 422 && Array.isArray(errors) && !errors.some(isAboutScopes));
}

function isAboutScopes(error: unknown): boolean {
  return !isObject(error) || /^(scopes|scheme)/.test(String(error["field"]));
}

function faultOf(request: SignedRequest): string | undefined {
  try {
    readSigned(request);
  } catch (error) {
    if (error instanceof MalformedSignature) return error.fault;
    throw error;
  }
  return undefined;
}

function questionJson(question: Question): Record<string, unknown> {
  // A stranger may send any; whatever it is decides nothing, and the door reads these.
  const method = /^[A-Z]{1,20}$/.test(question.method ?? "") ? { method: question.method } : {};
  return { key: question.key, ...method, ...wantedJson(question) };
}

function wantedJson({ scopes = [], client = {} }: Wanted): Record<string, unknown> {
  const known = clientJson(client);
  return { ...(scopes.length ? { scopes: [...scopes] } : {}), ...(known === undefined ? {} : { client: known }) };
}

function resultsOf(answer: unknown, count: number): unknown[] {
  const results = isObject(answer) ? answer["results"] : undefined;
  if (!Array.isArray(results) || results.length !== count) {
    throw new Unreachable("The answer does not hold one verdict a key.", "not_a_verdict");
  }
  return results;
}
