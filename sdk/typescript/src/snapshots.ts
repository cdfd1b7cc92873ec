/**
 * Reads a signed snapshot of digests, and finds a key in it: 64 bytes a key as they came, found by halving.
 *
 * Keys that sign by a pair are records too, a public key in the place of the digest and found by their kid, apart from the
 * others: nothing that is presented is ever looked for among them, nor a signer among what is presented.
 */

import { createHash } from "node:crypto";

import { checkSigned, fromBase64url, type SigningKeys } from "./ed25519.js";
import { IntegrityError } from "./errors.js";
import type { Place } from "./events.js";
import type { LimitsOfAKey } from "./limits.js";
import { Networks } from "./networks.js";
import { LONGEST_WINDOW_SECONDS, WINDOW_SECONDS } from "./signatureProfile.js";
import { isObject } from "./transport.js";

const MAGIC = Buffer.from("KSSNAP1\n");
const SIGNED = Buffer.from("keystead snapshot v1\n");
const RECORD = 64;
const SIGNATURE = 64;
const RETIRES = 1;
const [KID, POLICY, FLAGS, ENDS] = [32, 48, 52, 56]; // where they stand in a record, behind the digest

/** What versions of one kind may do; shared by all of them. */
export interface Policy {
  readonly scopes: ReadonlySet<string>;
  readonly signedScopes: ReadonlySet<string>;
  /** undefined: any */
  readonly networks: Networks | undefined;
  readonly ownerTeam: string;
  readonly service: string;
  readonly environment: string;
  /** Seconds for which a signature is good. */
  readonly window: number;
  /** undefined: none */
  readonly limits: LimitsOfAKey | undefined;
}

/** One version that verifies now, until `endsAt` (milliseconds of the server's clock). */
export interface Entry {
  readonly kid: string;
  readonly policy: Policy;
  readonly endsAt: number;
  readonly retires: boolean;
  readonly warned: number | undefined;
}

/** One version that signs by a key pair, and its public half. */
export interface FoundSigner {
  readonly entry: Entry;
  readonly publicKey: Buffer;
}

export class Snapshot {
  readonly position: string;
  readonly count: number;
  readonly place: Place;
  readonly #records: Buffer;
  readonly #signers: Buffer;
  readonly #policies: readonly Policy[];
  readonly #warned: Readonly<Record<string, number>>;

  constructor(header: Record<string, unknown>, records: Buffer) {
    this.position = String(header["position"]);
    this.count = records.length / RECORD;
    this.place = [String(header["service_id"]), String(header["environment_id"])];
    this.#records = records;
    this.#signers = readSigners(header["signers"] ?? ""); // a Keystead of before tells of none
    this.#policies = (header["policies"] as unknown[]).map(readPolicy);
    if (!isObject(header["warned"])) throw new IntegrityError("the warnings are no object", "not_a_snapshot");
    this.#warned = header["warned"] as Record<string, number>;
    for (const each of [this.#records, this.#signers]) checkPolicies(each, this.#policies.length);
  }

  /** Finds the version with that digest. */
  find(digest: Buffer): Entry | undefined {
    const start = placeOf(this.#records, digest, 0);
    return start === undefined ? undefined : this.#read(this.#records, start);
  }

  /** Finds the version of that kid that signs by a key pair. */
  findSigner(kid: string): FoundSigner | undefined {
    const wanted = Buffer.alloc(POLICY - KID);
    if (wanted.write(kid, "latin1") !== kid.length) return undefined;
    const start = placeOf(this.#signers, wanted, KID);
    if (start === undefined) return undefined;
    return { entry: this.#read(this.#signers, start), publicKey: this.#signers.subarray(start, start + KID) };
  }

  #read(records: Buffer, start: number): Entry {
    const kid = records.toString("latin1", start + KID, start + POLICY).replace(/\0+$/, "");
    return {
      kid,
      policy: this.#policies[records.readUInt32LE(start + POLICY)] as Policy,
      retires: (records.readUInt32LE(start + FLAGS) & RETIRES) !== 0,
      endsAt: Number(records.readBigUInt64LE(start + ENDS)),
      warned: Object.hasOwn(this.#warned, kid) ? this.#warned[kid] : undefined,
    };
  }
}

/** Verifies a snapshot under pinned keys and reads it; throws IntegrityError. Nothing of it is believed before its signature is. */
export function readSnapshot(content: Buffer, keys: SigningKeys): Snapshot {
  const length = content.length < MAGIC.length + 4 + SIGNATURE ? -1 : content.readUInt32LE(MAGIC.length);
  const start = MAGIC.length + 4 + length;
  if (length < 0 || start + SIGNATURE > content.length || !content.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw new IntegrityError("not a snapshot", "not_a_snapshot");
  }
  const header = readHeader(content.subarray(MAGIC.length + 4, start));
  const told = createHash("sha256").update(content.subarray(0, -SIGNATURE)).digest();
  checkSigned(keys, header["kid"], content.subarray(-SIGNATURE), Buffer.concat([SIGNED, told]));
  const records = content.subarray(start, -SIGNATURE);
  if (header["count"] !== records.length / RECORD) {
    throw new IntegrityError("the snapshot holds more or fewer records than it says", "not_a_snapshot");
  }
  try {
    return new Snapshot(header, records);
  } catch (error) {
    if (error instanceof IntegrityError) throw error;
    // Signed, but by a release that writes another header.
    throw new IntegrityError("the header is not one that this release reads", "not_a_snapshot");
  }
}

/** Reads what a snapshot or a change says about a kind of versions. */
export function readPolicy(value: unknown): Policy {
  if (!isObject(value)) throw new IntegrityError("a policy is no object", "not_a_snapshot");
  const networks = value["networks"] as string[];
  const window = value["window"] ?? WINDOW_SECONDS;
  if (!Number.isInteger(window)) throw new IntegrityError("a window is no number of seconds", "not_a_snapshot");
  return {
    scopes: new Set(value["scopes"] as string[]),
    signedScopes: new Set((value["signed_scopes"] ?? []) as string[]),
    networks: networks.length ? new Networks(networks) : undefined,
    ownerTeam: String(value["owner_team"]),
    service: String(value["service"]),
    environment: String(value["environment"]),
    window: Math.min(window as number, LONGEST_WINDOW_SECONDS), // for no longer are nonces remembered
    limits: readLimits(value["limits"]),
  };
}

function readLimits(value: unknown): LimitsOfAKey | undefined {
  if (value === undefined) return undefined;
  if (!isObject(value)) throw new IntegrityError("limits are no object", "not_a_snapshot");
  const [perMinute, perDay] = ["requests_per_minute", "requests_per_day"].map((name) => {
    const most = value[name];
    if (most !== undefined && !Number.isInteger(most)) throw new IntegrityError("a limit is no number", "not_a_snapshot");
    return most as number | undefined;
  });
  return { perMinute, perDay };
}

function readHeader(text: Buffer): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(text.toString("utf8"));
  } catch {
    header = undefined;
  }
  if (!isObject(header)) throw new IntegrityError("the header is not an object", "not_a_snapshot");
  return header;
}

/** Where the record begins that holds these bytes at `place`, by which the records are in order. */
function placeOf(records: Buffer, wanted: Buffer, place: number): number | undefined {
  let [low, high] = [0, records.length / RECORD - 1];
  while (low <= high) {
    const middle = (low + high) >> 1;
    const start = middle * RECORD;
    const order = records.compare(wanted, 0, wanted.length, start + place, start + place + wanted.length);
    if (order === 0) return start;
    if (order < 0) low = middle + 1;
    else high = middle - 1;
  }
  return undefined;
}

/** Reads the records of those that sign, each after the other by its kid. */
function readSigners(written: unknown): Buffer {
  const records = fromBase64url(written);
  if (records.length % RECORD !== 0) throw new IntegrityError("a signer was cut", "not_a_snapshot");
  for (let start = RECORD; start < records.length; start += RECORD) {
    const before = start - RECORD;
    if (records.compare(records, before + KID, before + POLICY, start + KID, start + POLICY) <= 0) {
      throw new IntegrityError("the signers are not in order", "not_a_snapshot");
    }
  }
  return records;
}

function checkPolicies(records: Buffer, count: number): void {
  for (let start = 0; start < records.length; start += RECORD) {
    if (records.readUInt32LE(start + POLICY) >= count) throw new IntegrityError("a record names no policy", "not_a_snapshot");
  }
}
