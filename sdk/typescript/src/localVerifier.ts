/** Decides about presented keys in this process, at once, and still refuses a key the moment it was revoked. */

import { createHash } from "node:crypto";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";

import type { Belief } from "./beliefs.js";
import { type AnyCredential, asCredential } from "./credentials.js";
import { accepted, whyNot } from "./deciding.js";
import type { SigningKeys } from "./ed25519.js";
import { Busy, KeysteadError, Refused, telling, Unreachable, Unsafe } from "./errors.js";
import { Feed } from "./feed.js";
import { kidOf } from "./keyText.js";
import { Limits } from "./limits.js";
import type { NonceStore } from "./nonces.js";
import { judgeSigned } from "./signatureJudging.js";
import type { SignedRequest } from "./signedRequests.js";
import { type Connection, Transport } from "./transport.js";
import { Uses } from "./uses.js";
import { refusal, type Verdict } from "./verdicts.js";
import type { Wanted } from "./verifier.js";

const REPORTS_APART = 10_000;
const CALLS_APART = 1000; // milliseconds between two calls of a bell that hangs up
const NO_BELL = 30_000; // until a Keystead without a doorbell is asked for it again
const SILENCE = 5000; // the bell beats each second, so one that is quiet for longer is dead
const LONGEST_PAUSE = 5000;
const NEVER_TAKEN = [400, 413, 422]; // a batch refused so would be refused for ever, and nothing after it be counted
const DIGEST_TAG = "keystead key digest v1\0";
export const NO_NONCES = "no_nonce_store";

export interface LocalOptions extends Connection {
  readonly credential: AnyCredential;
  /** How this verifier is called on Keystead's page; the host and the process if nothing is said. */
  readonly name?: string;
  /** Pinned keys that may sign, kid to `x`; what `/v1/jwks` says over TLS if nothing is said. */
  readonly signingKeys?: SigningKeys;
  /** Where accepted signatures are remembered; without it no signed request is checked. */
  readonly nonces?: NonceStore;
  /** Is told why a lease was not renewed, or uses were not counted. */
  readonly onTrouble?: (error: unknown) => void;
}

/**
 * Decides in process over a signed snapshot of digests, kept fresh under a lease.
 *
 * It holds the bearer keys of the one service and environment that its credential names, as digests, and the public halves of
 * those that sign by a key pair: nothing in it can be presented anywhere. Without a living lease it refuses everything with
 * `stale`. Keys that no longer verify are not in the snapshot, so they are `unknown` here, where `Verifier` would say why.
 */
export class LocalVerifier {
  readonly #feed: Feed;
  readonly #uses = new Uses();
  readonly #limits = new Limits();
  readonly #over = new AbortController();
  readonly #onTrouble: (error: unknown) => void;
  readonly #nonces: NonceStore | undefined;
  #rung = false;
  #isConfirming = false;
  #wake: (() => void) | undefined;
  #starting: Promise<void> | undefined;
  #following: Promise<void> | undefined;

  constructor({ credential, name, signingKeys, nonces, onTrouble = () => undefined, ...connection }: LocalOptions) {
    const called = name ?? `${hostname()}:${process.pid}`.slice(0, 80);
    this.#feed = new Feed(new Transport(connection), asCredential(credential), called, signingKeys);
    this.#onTrouble = telling(onTrouble);
    this.#nonces = nonces;
  }

  /** Takes a snapshot and a lease, and follows from then on. Rejects with Refused if this credential may not verify in process. */
  async start(): Promise<this> {
    // Once, whoever else asks meanwhile: of two renewals at a time the older answer, come last, would bring back what was stopped.
    this.#starting ??= this.#begin();
    try {
      await this.#starting;
    } catch (error) {
      this.#starting = undefined;
      throw error;
    }
    return this;
  }

  /** Decides about one key by what holds now. */
  verify(text: string | undefined, wanted: Wanted = {}): Verdict {
    const belief = this.#over.signal.aborted ? undefined : this.#feed.belief;
    if (belief === undefined) return refusal("stale");
    if (typeof text !== "string") return refusal("malformed"); // in JavaScript it may be a header that came twice
    const entry = belief.state.find(createHash("sha256").update(DIGEST_TAG).update(text, "utf8").digest());
    if (entry === undefined) return refusal(kidOf(text) === undefined ? "malformed" : "unknown");
    const at = belief.lease.now;
    const { limits } = entry.policy;
    const reason = whyNot(entry, at, wanted) ?? (limits && this.#limits.refusal(entry.kid, limits, at));
    this.#uses.note(entry.kid, reason ?? "valid", wanted.client, at);
    return reason === undefined ? accepted(entry) : refusal(reason);
  }

  /**
   * Decides about a request signed by a key pair (RFC 9421), accepted once by all who share `nonces`.
   *
   * Rejects with Unsafe without them: whoever cannot know whether a request came before cannot check one. What a shared secret
   * signed is `not_in_process`: ask `Verifier`.
   */
  async verifySignature(request: SignedRequest, wanted: Omit<Wanted, "method"> = {}): Promise<Verdict> {
    if (this.#nonces === undefined) {
      throw new Unsafe("Signed requests need new LocalVerifier({ nonces }), or each could be sent again.", NO_NONCES);
    }
    const believed = (): Belief | undefined => (this.#over.signal.aborted ? undefined : this.#feed.belief);
    const belief = believed();
    if (belief === undefined) return refusal("stale");
    const { verdict, used } = await judgeSigned(request, { belief, believed, nonces: this.#nonces, limits: this.#limits, ...wanted });
    if (used !== undefined) this.#uses.note(used, verdict.valid ? "valid" : verdict.reason, wanted.client, belief.lease.now);
    return verdict;
  }

  /** Milliseconds for which, from now, it may still answer; negative when it may not. */
  get lease(): number {
    return this.#feed.lease;
  }

  /** Stops answering, reports what was counted, and ends the lease. */
  async close(): Promise<void> {
    this.#over.abort();
    this.#feed.hangUp();
    this.#ring();
    await this.#starting?.catch(() => undefined); // what registers only now has to leave as well
    await this.#following;
    this.#feed.forget();
    for (const last of [() => this.#report(), () => this.#feed.leave()]) {
      await last().catch((error: unknown) => this.#onTrouble(error));
    }
  }

  async #begin(): Promise<void> {
    try {
      for (let turn = 0; this.#feed.lease <= 0 && turn < 3; turn++) await this.#feed.renew();
    } catch (error) {
      if (error instanceof Refused && !(error instanceof Busy)) throw error;
      this.#onTrouble(error); // a Keystead that is away only has keys refused
    }
    this.#following = this.#follow();
    void this.#listen();
  }

  async #follow(): Promise<void> {
    let failures = 0;
    let starts = 0; // in a row that came to nothing
    let reportedAt = performance.now();
    while (!this.#over.signal.aborted) {
      let pause: number;
      try {
        // What was applied is confirmed at once: somebody waits for the receipt of a revocation.
        pause = (await this.#feed.renew()) && !(await this.#feed.confirm()) ? 0 : this.#feed.renewEvery;
        failures = 0;
        starts = this.#feed.state === undefined ? starts + 1 : 0;
        // Forgotten, it begins anew at once; where that is forgotten as well, no faster than after any other failure.
        if (starts > 1) pause = Math.min(100 * 2 ** starts, LONGEST_PAUSE);
      } catch (error) {
        failures += 1;
        pause = Math.min(100 * 2 ** failures, LONGEST_PAUSE);
        this.#onTrouble(error);
      }
      const now = performance.now();
      if (now - reportedAt > REPORTS_APART) {
        const isTold = await this.#report(this.#feed.renewEvery).catch((error: unknown) => this.#onTrouble(error));
        if (isTold !== false) reportedAt = now; // what could not be told waits as long as what is counted next
        pause -= performance.now() - now;
      }
      if (pause > 0) await this.#wait(pause);
    }
  }

  /** Waits for a ring, and no longer than that. */
  async #wait(pause: number): Promise<void> {
    if (!this.#rung && !this.#over.signal.aborted) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, pause);
        timer.unref();
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#wake = undefined;
    this.#rung = false;
  }

  #ring(): void {
    this.#rung = true;
    this.#wake?.();
  }

  async #listen(): Promise<void> {
    while (!this.#over.signal.aborted) {
      const began = performance.now();
      let pause = CALLS_APART;
      try {
        await this.#hear();
        // It ends now and then, so that a credential is shown anew; one that ends at once is not called at once.
        if (performance.now() - began > CALLS_APART) pause = 0;
      } catch (error) {
        if (error instanceof KeysteadError && !(error instanceof Unreachable)) pause = NO_BELL;
      }
      await sleep(pause, undefined, { signal: this.#over.signal, ref: false }).catch(() => undefined);
    }
  }

  async #hear(): Promise<void> {
    const quiet = new AbortController();
    const end = (): void => quiet.abort();
    let timer = setTimeout(end, SILENCE);
    let rings = false;
    this.#over.signal.addEventListener("abort", end, { once: true });
    try {
      for await (const line of this.#feed.bell(quiet.signal)) {
        clearTimeout(timer);
        timer = setTimeout(end, SILENCE);
        timer.unref();
        if (rings) this.#heed(line);
        rings = line === "event: change";
      }
    } finally {
      clearTimeout(timer);
      this.#over.signal.removeEventListener("abort", end);
    }
  }

  /** A ring that does not bring what changed, or not so that it can be applied, has it asked for. */
  #heed(line: string): void {
    const heard = line.startsWith("data:") ? this.#feed.hear(line.slice("data:".length)) : "ask";
    if (heard === "ask") this.#ring();
    if (heard === "applied") void this.#confirm();
  }

  /** Confirms what was applied, one word at a time; what is applied meanwhile is confirmed by the next. */
  async #confirm(): Promise<void> {
    if (this.#isConfirming) return;
    this.#isConfirming = true;
    try {
      for (let said: string | undefined; said !== this.#feed.state?.position; ) {
        said = this.#feed.state?.position;
        if (!(await this.#feed.confirm())) return this.#ring();
      }
    } finally {
      this.#isConfirming = false;
    }
  }

  /** Tells what was counted; whether all of it, in the time until the lease wants to be renewed. */
  async #report(time = Infinity): Promise<boolean> {
    const over = performance.now() + time;
    let waiting = this.#uses.waiting; // not what is counted meanwhile: a busy program would tell for ever
    for (let batch = this.#uses.batch(); batch !== undefined && waiting > 0; batch = this.#uses.batch()) {
      try {
        await this.#feed.report(batch.uses, batch.name);
      } catch (error) {
        if (!(error instanceof Refused && NEVER_TAKEN.includes(error.status))) throw error;
        this.#onTrouble(error);
      }
      this.#uses.sent();
      waiting -= batch.uses.length;
      if (performance.now() > over) break;
    }
    return waiting <= 0;
  }
}
