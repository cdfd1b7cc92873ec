/** Asks Keystead about presented keys, failing closed. */

import { type AnyCredential, asCredential, type Credential, showing } from "./credentials.js";
import { Busy, Unreachable } from "./errors.js";
import { kidOf } from "./keyText.js";
import { type SignedRequest, signedRequestJson } from "./signedRequests.js";
import { type Connection, isObject, Transport } from "./transport.js";
import { clientJson } from "./uses.js";
import { type Client, readVerdict, refusal, type Verdict } from "./verdicts.js";

const MOST_AT_ONCE = 100;

export interface Wanted {
  /** Scopes that this call needs, matched exactly. */
  readonly scopes?: readonly string[];
  readonly method?: string;
  readonly client?: Client;
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

  constructor(options: Connection & { readonly credential: AnyCredential }) {
    this.#transport = new Transport(options);
    this.#credential = asCredential(options.credential);
  }

  /** Decides about one key. */
  async verify(text: string | undefined, wanted: Wanted = {}): Promise<Verdict> {
    // A typo or a stranger's string costs Keystead nothing.
    if (text === undefined || kidOf(text) === undefined) return refusal("malformed");
    return failingClosed(async () => readVerdict(await this.#post("/v1/verify", questionJson({ ...wanted, key: text }))));
  }

  /** Decides about many keys, a hundred in a request; the verdicts come in the order of the questions. */
  async verifyMany(questions: readonly Question[]): Promise<Verdict[]> {
    const verdicts: Verdict[] = questions.map(() => refusal("malformed"));
    const readable = questions.flatMap((each, place) => (kidOf(each.key) === undefined ? [] : [{ each, place }]));
    for (let start = 0; start < readable.length; start += MOST_AT_ONCE) {
      const asked = readable.slice(start, start + MOST_AT_ONCE);
      let found: Verdict[];
      try {
        const answer = await this.#post("/v1/verify:batch", { keys: asked.map(({ each }) => questionJson(each)) });
        found = resultsOf(answer, asked.length).map(readVerdict);
      } catch (error) {
        const refused = unavailable(error);
        found = asked.map(() => refused);
      }
      asked.forEach(({ place }, index) => (verdicts[place] = found[index] as Verdict));
    }
    return verdicts;
  }

  /** Decides about a request signed by RFC 9421. Only Keystead can: it keeps the secrets and the nonces. */
  async verifySignature(request: SignedRequest, wanted: Omit<Wanted, "method"> = {}): Promise<Verdict> {
    const body = { ...signedRequestJson(request), ...wantedJson(wanted) };
    return failingClosed(async () => readVerdict(await this.#post("/v1/verify-signature", body)));
  }

  #post(path: string, body: unknown): Promise<unknown> {
    return showing(this.#credential, (bearer) => this.#transport.ask("POST", path, { bearer, body }));
  }
}

async function failingClosed(ask: () => Promise<Verdict>): Promise<Verdict> {
  try {
    return await ask();
  } catch (error) {
    return unavailable(error);
  }
}

function unavailable(error: unknown): Verdict {
  if (error instanceof Unreachable || error instanceof Busy) {
    return refusal(error.code === "verifier_stale" ? "stale" : "unavailable");
  }
  throw error;
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
