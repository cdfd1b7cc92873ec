/**
 * Holds a lease on the truth: takes a snapshot, follows its changes, and knows until when it may be believed.
 *
 * The rule that makes a revocation final: what is read here may be used only until `asked at + lease_ms`, and only after every
 * change that came with the lease was applied. Keystead answers a revocation when every verifier has confirmed it, or when
 * the leases of those that did not have run out.
 */

import { type Belief, Lease, moment, NO_LEASE, State } from "./beliefs.js";
import { type Credential, showing } from "./credentials.js";
import { checkSigned, fromBase64url, type SigningKeys } from "./ed25519.js";
import { IntegrityError, Refused, Unreachable } from "./errors.js";
import { canonical, reaches, readEvent } from "./events.js";
import { readSnapshot } from "./snapshots.js";
import { isObject, type Transport } from "./transport.js";

const AWAY = 30_000; // for so long a place that did not answer is not asked again
const SNAPSHOT_TIMEOUT = 60_000;
const [SHORTEST_RENEWAL, RENEWAL, LONGEST_RENEWAL] = [5, 1000, 3_600_000]; // whatever is told

/** What came of a ring: `applied` and to be confirmed, `known` before, or to be asked for. */
export type Heard = "applied" | "known" | "ask";

/** Speaks to Keystead for one in-process verifier; one renewal at a time. */
export class Feed {
  state: State | undefined;
  renewEvery = 1000;
  /** Where the doorbell rings, if Keystead named a place of its own for it. */
  bellUrl = "";
  readonly #transport: Transport;
  readonly #credential: Credential;
  readonly #name: string;
  readonly #arePinned: boolean;
  #keys: SigningKeys;
  #verifier = "";
  #leaseUrl = "";
  #appliedUrl = "";
  #awayUntil = 0;
  #lease = NO_LEASE;
  readonly #leaving = new AbortController();

  constructor(transport: Transport, credential: Credential, name: string, signingKeys: SigningKeys | undefined) {
    this.#transport = transport;
    this.#credential = credential;
    this.#name = name;
    this.#arePinned = signingKeys !== undefined;
    this.#keys = signingKeys ?? {};
  }

  /** Milliseconds for which it may still answer; negative when it may not. */
  get lease(): number {
    return this.#lease.left;
  }

  /** What may be believed now; undefined when nothing may. */
  get belief(): Belief | undefined {
    return this.state === undefined || this.#lease.left <= 0 ? undefined : { state: this.state, lease: this.#lease };
  }

  /**
   * Renews the lease and applies what changed; whether anything did. Any error leaves the old lease to run out.
   *
   * What comes with a ring is applied meanwhile: a stop shall not wait for an answer that is on its way.
   */
  async renew(): Promise<boolean> {
    if (this.state === undefined || this.#verifier === "" || this.state.isWorn) await this.#start();
    const state = this.state as State | undefined;
    if (state === undefined) return true;
    const applied = state.position;
    const asked = moment();
    let answer: Record<string, unknown>;
    try {
      answer = object(await this.#ask(applied));
    } catch (error) {
      if (!(error instanceof Refused) || (error.status !== 404 && error.status !== 409)) throw error;
      this.forget();
      return true;
    }
    const waited = performance.now() - asked.steady;
    await this.#withKnownKeys((keys) => this.#check(answer, applied, keys));
    const [term, serverTime] = [answer["lease_ms"], answer["server_time"]].map(wholeNumber) as [number, number];
    const changes = answer["changes"] as Record<string, unknown>[];
    const position = String(answer["position"]);
    // A ring may have brought more since it was asked for: then it is old news, which would bring back what was stopped.
    const isOld = reaches(state.position, position);
    if (answer["resync"] !== false || !(isOld || reaches(position, state.position))) {
      this.forget();
      return true;
    }
    if (!isOld) state.follow(changes, position);
    // Last, when all of it is applied: from here on the state may be believed.
    this.#lease = new Lease(asked, { term, serverTime, waited });
    return !isOld && changes.length > 0;
  }

  /** Applies the change that came with a ring, where it follows on what is held. The lease stays as it is. */
  hear(told: string): Heard {
    const { state } = this;
    if (state === undefined) return "ask";
    try {
      const event = readEvent(told, this.#keys, state.place);
      if (event === undefined) return "ask";
      if (reaches(state.position, event.position)) return "known";
      if (!reaches(state.position, event.since) || !reaches(event.position, state.position)) return "ask";
      state.follow(event.changes, event.position);
      return "applied";
    } catch {
      return "ask"; // whatever it is that cannot be read: a renewal tells
    }
  }

  /** Says up to where changes are applied, since somebody waits for the receipt of a revocation; false: a renewal has to say it. */
  async confirm(): Promise<boolean> {
    if (this.state === undefined || this.#appliedUrl === "") return false;
    try {
      await this.#post(this.#appliedUrl, { applied: this.state.position });
      return true;
    } catch {
      return false;
    }
  }

  /** Asks where Keystead said that many are served at once; the site answers the same when nobody is there. */
  async #ask(applied: string): Promise<unknown> {
    if (this.#leaseUrl && performance.now() >= this.#awayUntil) {
      try {
        return await this.#post(this.#leaseUrl, { applied });
      } catch (error) {
        if (!(error instanceof Unreachable)) throw error;
        this.#awayUntil = performance.now() + AWAY;
      }
    }
    try {
      return await this.#post(`/v1/verifiers/${this.#verifier}/lease`, { applied });
    } catch (error) {
      if (error instanceof Unreachable) this.#awayUntil = 0; // now both are away, and whichever is back first shall be heard
      throw error;
    }
  }

  /** The lines of the doorbell. A ring may bring what changed, or means: renew now. It proves no freshness. */
  async *bell(signal: AbortSignal): AsyncGenerator<string> {
    const { lines, first } = await showing(this.#credential, async (bearer) => {
      const lines = this.#transport.lines(this.bellUrl || "/v1/feed", { bearer, signal });
      return { lines, first: await lines.next() }; // only then is it known whether it is answered
    });
    try {
      if (first.done !== true) yield first.value;
      yield* lines;
    } finally {
      await lines.return(undefined);
    }
  }

  /** Says what was verified. The same batch twice counts once. */
  async report(uses: readonly unknown[], batch: string): Promise<void> {
    await this.#post(`/v1/verifiers/${this.#verifier}/uses`, { batch, uses });
  }

  /** Waits for no snapshot any more, which may take a minute. */
  hangUp(): void {
    this.#leaving.abort();
  }

  /** Ends the lease at once, so that nobody waits for this verifier. */
  async leave(): Promise<void> {
    const verifier = this.#verifier;
    this.#verifier = "";
    this.forget();
    const path = `/v1/verifiers/${verifier}`;
    if (verifier) await showing(this.#credential, (bearer) => this.#transport.ask("DELETE", path, { bearer }));
  }

  /** Believes nothing any more. */
  forget(): void {
    this.#lease = NO_LEASE;
    this.state = undefined;
  }

  async #start(): Promise<void> {
    this.forget();
    const answer = object(await this.#post("/v1/verifiers", { name: this.#name }));
    if (!((answer["lease_ms"] as number) > 0)) {
      throw new Refused("This environment allows no verification in process: use Verifier.", "not_in_process", 409);
    }
    this.#verifier = String(answer["verifier"]);
    this.renewEvery = pauseOf(answer["renew_ms"]);
    this.bellUrl = this.#transport.elsewhere(answer["feed"]);
    this.#leaseUrl = this.#transport.elsewhere(answer["lease"]);
    this.#appliedUrl = this.#transport.elsewhere(answer["applied"]); // a Keystead of before names none
    const content = await this.#snapshot();
    this.state = new State(await this.#withKnownKeys((keys) => readSnapshot(content, keys)));
  }

  async #snapshot(): Promise<Buffer> {
    const over = new AbortController(); // AbortSignal.any() with a timeout is forgotten by Node's garbage collection, and never rings
    const end = (): void => over.abort();
    const timer = setTimeout(end, SNAPSHOT_TIMEOUT).unref();
    this.#leaving.signal.addEventListener("abort", end, { once: true });
    if (this.#leaving.signal.aborted) end();
    try {
      return await showing(this.#credential, (bearer) => this.#transport.bytes("/v1/snapshot", { bearer, signal: over.signal }));
    } finally {
      clearTimeout(timer);
      this.#leaving.signal.removeEventListener("abort", end);
    }
  }

  /** Reads what is signed. The key may be new to us: without pins Keystead's own word over TLS is what there is. */
  async #withKnownKeys<Read>(read: (keys: SigningKeys) => Read): Promise<Read> {
    try {
      return read(this.#keys);
    } catch (error) {
      if (this.#arePinned || !isUnknownSigner(error)) throw error;
    }
    const answer = object(await showing(this.#credential, (bearer) => this.#transport.ask("GET", "/v1/jwks", { bearer })));
    const found = (answer["keys"] as Record<string, string>[]).filter((each) => each["crv"] === "Ed25519");
    this.#keys = Object.fromEntries(found.map((each) => [each["kid"], each["x"]]));
    return read(this.#keys);
  }

  #check(answer: Record<string, unknown>, applied: string, keys: SigningKeys): void {
    const { lease_ms, position, changes, server_time, resync } = answer;
    const told = canonical({ lease_ms, position, changes, server_time, resync });
    const message = Buffer.from(`keystead changes v1\n${this.#verifier}\n${applied}\n${told}`);
    checkSigned(keys, answer["kid"], fromBase64url(answer["signature"]), message);
  }

  #post(path: string, body: unknown): Promise<unknown> {
    return showing(this.#credential, (bearer) => this.#transport.ask("POST", path, { bearer, body }));
  }
}

function object(value: unknown): Record<string, unknown> {
  if (!isObject(value)) throw new IntegrityError("Keystead's answer is no object", "not_an_object");
  return value;
}

function wholeNumber(value: unknown): number {
  // Compared with what is no number, no lease ever ends, nor any key.
  if (!Number.isSafeInteger(value)) throw new IntegrityError("a lease is no number of milliseconds", "not_a_lease");
  return value as number;
}

/** How often to renew. What is no pause would have Keystead asked without end. */
function pauseOf(told: unknown): number {
  return typeof told === "number" && told > 0 ? Math.min(Math.max(told, SHORTEST_RENEWAL), LONGEST_RENEWAL) : RENEWAL;
}

function isUnknownSigner(error: unknown): boolean {
  return error instanceof IntegrityError && error.code === "unknown_signing_key";
}
