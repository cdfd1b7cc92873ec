/**
 * Remembers which signatures were accepted, so that none is accepted twice; where that cannot be known, refuses.
 *
 * In one process a memory is enough. Whoever answers for the same keys in several, or on several machines, needs one store for
 * all of them: what each remembers for itself lets a captured request in once in each.
 */

import cluster from "node:cluster";
import { createHash } from "node:crypto";
import { isMainThread } from "node:worker_threads";

import { KeysteadError, Unsafe } from "./errors.js";
import { FUTURE_SKEW_SECONDS, LONGEST_WINDOW_SECONDS } from "./signatureProfile.js";

// Kept for the longest window that any policy may have: a window that grows meets nonces that are still remembered.
export const KEPT_SECONDS = LONGEST_WINDOW_SECONDS + 30;
// Two honest clocks differ by less; one second of it because signatures count whole seconds.
export const CLOCKS_SECONDS = 3;
// What was accepted before a store began, and is not in it, was signed at its beginning plus this at the latest.
export const DOUBT_SECONDS = FUTURE_SKEW_SECONDS + CLOCKS_SECONDS;
const MOST_REMEMBERED = 1_000_000; // about 60 MB
const MARK_BYTES = 12; // of a digest: two that share them refuse an honest request, once in 2^96

/** Whether a signature is a repetition cannot be known now: `nonce_store_full`, `_young` or `_unavailable`. Refuse. */
export class NonceStoreUnavailable extends KeysteadError {
  override readonly name = "NonceStoreUnavailable";
  constructor(message: string, code = "nonce_store_unavailable") {
    super(message, code);
  }
}

/** When a request was signed, and when it came; both in seconds since the epoch, by Keystead's clock. */
export interface Spending {
  readonly created: number;
  readonly now: number;
}

/**
 * What a verifier in process asks before it accepts a signature.
 *
 * `spend` remembers a nonce of a kid in one step for everybody who shares the store, until `created` + 150 s at least: true the
 * first time, false ever after. It throws, or rejects, when it cannot know: when it is full, away, or may have forgotten what
 * was accepted, as after a restart. Anything but a literal `true` is no yes.
 */
export interface NonceStore {
  spend(kid: string, nonce: string, spending: Spending): boolean | Promise<boolean>;
}

/**
 * Remembers in this process, exactly: for programs that are one process.
 *
 * Nothing is forgotten while it could be accepted again; when it is full it refuses. It refuses what may have been accepted
 * before it was made. A worker of a cluster cannot have one, nor a thread beside the main one: neither knows its siblings.
 */
export class MemoryNonces implements NonceStore {
  readonly #most: number;
  readonly #spent = new Set<string>();
  readonly #signedAt = new Map<number, string[]>(); // the same, by the second of the signature
  readonly #madeAt = performance.now();
  #completeAfter: number | undefined; // whatever was signed later is in here, if it was accepted
  #sweptAt = 0;

  constructor({ most = MOST_REMEMBERED }: { readonly most?: number } = {}) {
    if (cluster.isWorker) {
      throw new Unsafe("A worker does not know what its siblings accepted: share one store, such as ValkeyNonces.", "nonce_store_forked");
    }
    // Each thread loads this module anew. One that is alone cannot know it, so it is refused too.
    if (!isMainThread) {
      throw new Unsafe("A thread does not know what the others accepted: verify in the main one, or share one store, such as ValkeyNonces.", "nonce_store_forked");
    }
    this.#most = most;
  }

  spend(kid: string, nonce: string, { created, now }: Spending): boolean {
    this.#completeAfter ??= now - (performance.now() - this.#madeAt) / 1000 + DOUBT_SECONDS;
    if (Math.floor(now) !== this.#sweptAt) this.#sweep(now);
    // Said so that what is no number is refused too.
    if (!(created > this.#completeAfter)) throw new NonceStoreUnavailable("This may have been accepted before.", "nonce_store_young");
    // A text of its own: a part of the header's would keep the whole header in memory.
    const mark = createHash("sha256").update(`${kid}:${nonce}`).digest().toString("latin1", 0, MARK_BYTES);
    if (this.#spent.has(mark)) return false;
    if (!(this.#spent.size < this.#most)) throw new NonceStoreUnavailable("No room for one more nonce.", "nonce_store_full");
    this.#spent.add(mark);
    const sameSecond = this.#signedAt.get(created);
    if (sameSecond === undefined) this.#signedAt.set(created, [mark]);
    else sameSecond.push(mark);
    return true;
  }

  /** How many it remembers. */
  get size(): number {
    return this.#spent.size;
  }

  /** Forgets what nobody accepts any more, and remembers up to when that is: a clock that goes back must not bring it back. */
  #sweep(now: number): void {
    this.#sweptAt = Math.floor(now);
    const before = now - KEPT_SECONDS;
    for (const [created, marks] of this.#signedAt) {
      if (created > before) continue;
      for (const mark of marks) this.#spent.delete(mark);
      this.#signedAt.delete(created);
    }
    this.#completeAfter = Math.max(this.#completeAfter as number, before);
  }
}
