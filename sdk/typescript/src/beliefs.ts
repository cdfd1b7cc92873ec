/** Holds what was true at a position, and until when it may be believed. */

import type { KeyObject } from "node:crypto";

import { accepted } from "./deciding.js";
import { keyOf, rawKey } from "./ed25519.js";
import { IntegrityError } from "./errors.js";
import type { Place } from "./events.js";
import { type Entry, type FoundSigner, readPolicy, type Snapshot } from "./snapshots.js";
import type { Accepted } from "./verdicts.js";

const SAFETY = 50; // milliseconds between our clock and the one that counts the lease on the other side
const MOST_CHANGED = 50_000; // entries beside the snapshot; more, and a fresh snapshot is smaller
const MOST_KNOWN = 16_384; // signers that are kept ready to check with

/** A version that signs, ready to check with. */
export interface KnownSigner {
  readonly entry: Entry;
  readonly key: KeyObject;
  readonly verdict: Accepted;
}

/** What was true at `position`. */
export class State {
  position: string;
  readonly place: Place;
  readonly #snapshot: Snapshot;
  readonly #changed = new Map<string, Entry>();
  readonly #byKey = new Map<string, string[]>();
  readonly #changedSigners = new Map<string, FoundSigner>();
  readonly #kidsByKey = new Map<string, string[]>();
  readonly #gone = new Set<string>();
  readonly #known = new Map<string, KnownSigner>(); // what signed lately

  constructor(snapshot: Snapshot) {
    this.#snapshot = snapshot;
    this.position = snapshot.position;
    this.place = snapshot.place;
  }

  /** Finds a version that verifies, as far as is known. */
  find(digest: Buffer): Entry | undefined {
    const changed = this.#changed.get(digest.toString("hex"));
    if (changed !== undefined) return changed;
    const entry = this.#snapshot.find(digest);
    return entry === undefined || this.#gone.has(entry.kid) ? undefined : entry;
  }

  /** Finds a version that signs by a key pair and verifies, as far as is known. */
  findSigner(kid: string): KnownSigner | undefined {
    const known = this.#known.get(kid);
    if (known !== undefined) return known;
    const found = this.#changedSigners.get(kid) ?? (this.#gone.has(kid) ? undefined : this.#snapshot.findSigner(kid));
    if (found === undefined) return undefined;
    const signer = { entry: found.entry, key: keyOf(found.publicKey), verdict: accepted(found.entry) };
    if (this.#known.size < MOST_KNOWN) this.#known.set(found.entry.kid, signer);
    return signer;
  }

  /** Applies changes and stands at `position`: all that was known of a key is forgotten, then what verifies of it now is learnt. */
  follow(changes: readonly Record<string, unknown>[], position: string): void {
    if (changes.length > 0) this.#known.clear();
    for (const change of changes) {
      const key = String(change["key_id"]);
      // First all of it is read: where only a part could be, the snapshot would tell of the rest as it was before, and allow more.
      const versions = new Map((change["versions"] as Version[]).map((each) => [String(each["digest"]), readVersion(each)]));
      const signers = new Map(((change["signers"] ?? []) as Version[]).map(readSigner).map((each) => [each.entry.kid, each]));
      for (const kid of change["gone"] as string[]) this.#gone.add(kid);
      for (const digest of this.#byKey.get(key) ?? []) this.#changed.delete(digest);
      for (const kid of this.#kidsByKey.get(key) ?? []) this.#changedSigners.delete(kid);
      for (const [digest, entry] of versions) this.#changed.set(digest, entry);
      for (const [kid, signer] of signers) this.#changedSigners.set(kid, signer);
      this.#byKey.set(key, [...versions.keys()]);
      this.#kidsByKey.set(key, [...signers.keys()]);
    }
    this.position = position;
  }

  /** Whether so much changed that a fresh snapshot is better. */
  get isWorn(): boolean {
    return this.#changed.size + this.#changedSigners.size + this.#gone.size > MOST_CHANGED;
  }
}

/** A moment by two clocks: the one that never jumps stands still while the machine sleeps, the other does not. */
export interface Moment {
  readonly steady: number;
  readonly wall: number;
}

export function moment(): Moment {
  return { steady: performance.now(), wall: Date.now() };
}

/** Until when a state may be believed, and Keystead's clock; milliseconds. Of what both clocks say, what is more careful counts. */
export class Lease {
  readonly #asked: Moment;
  readonly #term: number;
  readonly #serverTime: number;
  readonly #waited: number;

  /** The lease that came with an answer: `serverTime` is of some moment between `asked` and `waited` milliseconds later. */
  constructor(asked: Moment, { term, serverTime, waited = 0 }: { term: number; serverTime: number; waited?: number }) {
    this.#asked = asked;
    this.#term = term - SAFETY;
    this.#serverTime = serverTime;
    this.#waited = waited;
  }

  /** For how long it still lasts; negative when it is over. */
  get left(): number {
    const { steady, wall } = moment();
    return this.#term - Math.max(steady - this.#asked.steady, wall - this.#asked.wall);
  }

  /** Keystead's time, as late as it can be: what ends may only end early. */
  get now(): number {
    const { steady, wall } = moment();
    return this.#serverTime + Math.max(steady - this.#asked.steady, wall - this.#asked.wall);
  }

  /** Keystead's time, as early as it can be: what is from the future is so for everybody's memory of nonces. */
  get earliest(): number {
    const { steady, wall } = moment();
    return this.#serverTime + Math.min(steady - this.#asked.steady, wall - this.#asked.wall) - this.#waited;
  }
}

export const NO_LEASE = new Lease({ steady: 0, wall: 0 }, { term: 0, serverTime: 0 });

/** What whoever decides needs, in one piece: who waits in between ends with what it began with. */
export interface Belief {
  readonly state: State;
  readonly lease: Pick<Lease, "left" | "now" | "earliest">;
}

type Version = Record<string, unknown>;

function readVersion(version: Version): Entry {
  return {
    kid: String(version["kid"]),
    policy: readPolicy(version["policy"]),
    endsAt: endOf(version["ends_at"]),
    retires: version["retires"] === true,
    warned: typeof version["warned"] === "number" ? version["warned"] : undefined,
  };
}

function endOf(told: unknown): number {
  if (!Number.isSafeInteger(told)) throw new IntegrityError("an end is no instant", "not_a_change"); // such a key would never end
  return told as number;
}

function readSigner(version: Version): FoundSigner {
  return { entry: readVersion(version), publicKey: rawKey(version["public_key"]) };
}
