/** Reads a signed snapshot of digests, and finds a key in it: 64 bytes a key as they came, found by halving. */

import { createHash, createPublicKey, verify as verifyBytes } from "node:crypto";

import { IntegrityError } from "./errors.js";
import { Networks } from "./networks.js";
import { isObject } from "./transport.js";

const MAGIC = Buffer.from("KSSNAP1\n");
const SIGNED = Buffer.from("keystead snapshot v1\n");
const RECORD = 64;
const SIGNATURE = 64;
const RETIRES = 1;

/** What versions of one kind may do; shared by all of them. */
export interface Policy {
  readonly scopes: ReadonlySet<string>;
  readonly signedScopes: ReadonlySet<string>;
  /** undefined: any */
  readonly networks: Networks | undefined;
  readonly ownerTeam: string;
  readonly service: string;
  readonly environment: string;
}

/** One version that verifies now, until `endsAt` (milliseconds of the server's clock). */
export interface Entry {
  readonly kid: string;
  readonly policy: Policy;
  readonly endsAt: number;
  readonly retires: boolean;
  readonly warned: number | undefined;
}

/** Public keys that may sign: kid to the `x` of the JSON Web Key. */
export type SigningKeys = Readonly<Record<string, string>>;

export class Snapshot {
  readonly position: string;
  readonly count: number;
  readonly #records: Buffer;
  readonly #policies: readonly Policy[];
  readonly #warned: Readonly<Record<string, number>>;

  constructor(header: Record<string, unknown>, records: Buffer) {
    this.position = String(header["position"]);
    this.count = records.length / RECORD;
    this.#records = records;
    this.#policies = (header["policies"] as unknown[]).map(readPolicy);
    this.#warned = header["warned"] as Record<string, number>;
  }

  /** Finds the version with that digest. */
  find(digest: Buffer): Entry | undefined {
    let [low, high] = [0, this.count - 1];
    while (low <= high) {
      const middle = (low + high) >> 1;
      const start = middle * RECORD;
      const order = this.#records.compare(digest, 0, 32, start, start + 32);
      if (order === 0) return this.#read(start);
      if (order < 0) low = middle + 1;
      else high = middle - 1;
    }
    return undefined;
  }

  #read(start: number): Entry {
    const records = this.#records;
    const kid = records.toString("latin1", start + 32, start + 48).replace(/\0+$/, "");
    const policy = this.#policies[records.readUInt32LE(start + 48)];
    if (policy === undefined) throw new IntegrityError("a record names no policy", "not_a_snapshot");
    return {
      kid,
      policy,
      retires: (records.readUInt32LE(start + 52) & RETIRES) !== 0,
      endsAt: Number(records.readBigUInt64LE(start + 56)),
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
  if (records.length !== (header["count"] as number) * RECORD) {
    throw new IntegrityError("the snapshot holds more or fewer records than it says", "not_a_snapshot");
  }
  return new Snapshot(header, records);
}

/** Passes if one of the keys signed the message; throws IntegrityError. */
export function checkSigned(keys: SigningKeys, kid: unknown, signature: Buffer, message: Buffer): void {
  const x = typeof kid === "string" && Object.hasOwn(keys, kid) ? keys[kid] : undefined;
  if (x === undefined) throw new IntegrityError("signed with a key that is not pinned", "unknown_signing_key");
  const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  if (!verifyBytes(null, message, key, signature)) throw new IntegrityError("the signature does not fit", "signature");
}

/** Reads what a snapshot or a change says about a kind of versions. */
export function readPolicy(value: unknown): Policy {
  if (!isObject(value)) throw new IntegrityError("a policy is no object", "not_a_snapshot");
  const networks = value["networks"] as string[];
  return {
    scopes: new Set(value["scopes"] as string[]),
    signedScopes: new Set((value["signed_scopes"] ?? []) as string[]),
    networks: networks.length ? new Networks(networks) : undefined,
    ownerTeam: String(value["owner_team"]),
    service: String(value["service"]),
    environment: String(value["environment"]),
  };
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
