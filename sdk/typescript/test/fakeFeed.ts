/** What a Keystead would say to in-process verifiers: snapshots and changes, signed. */

import { createHash, generateKeyPairSync, sign, type KeyObject } from "node:crypto";

import { canonical } from "../src/events.js";
import { digest } from "../src/keyText.js";
import type { SigningKeys } from "../src/ed25519.js";
import { type Answer, type Asked, type FakeKeystead, problem } from "./fakeKeystead.js";

export const POLICY = {
  scopes: ["orders:read"], signed_scopes: [], networks: [], owner_team: "reporting", service: "orders", environment: "prod",
};
export const [SERVICE_ID, ENVIRONMENT_ID] = ["5e41ce00-0000-4000-8000-000000000000", "e4f14040-0000-4000-8000-000000000000"];
const HOUR = 3_600_000;

/** A position as PostgreSQL writes it: after so many transactions, but for those that are open. */
export function positionAt(count: number, { open = [] as number[], past = "0123456789abcdef" } = {}): string {
  return `${open[0] ?? count + 1}:${count + 1}:${open.join()}@${past}`;
}

export function record(text: string, kid: string, more: Recorded = {}): Buffer {
  return signerRecord(Buffer.from(digest(text), "hex"), kid, more);
}

interface Recorded {
  readonly policy?: number;
  readonly retires?: boolean;
  readonly endsAt?: number;
}

/** A record as a snapshot holds it; of a version that signs, with its public key. */
export function signerRecord(publicKey: Buffer, kid: string, { policy = 0, retires = false, endsAt = Date.now() + HOUR }: Recorded = {}): Buffer {
  const written = Buffer.alloc(64);
  publicKey.copy(written);
  written.write(kid, 32, "latin1");
  written.writeUInt32LE(policy, 48);
  written.writeUInt32LE(retires ? 1 : 0, 52);
  written.writeBigUInt64LE(BigInt(endsAt), 56);
  return written;
}

export function version(text: string, kid: string, changes: Record<string, unknown> = {}): Record<string, unknown> {
  return { digest: digest(text), kid, policy: POLICY, retires: false, warned: null, ends_at: Date.now() + HOUR, ...changes };
}

/** A version that signs by a key pair, as a change tells of it. */
export function signing(publicKey: Buffer, kid: string, changes: Record<string, unknown> = {}): Record<string, unknown> {
  return { public_key: publicKey.toString("base64url"), kid, policy: POLICY, retires: false, warned: null, ends_at: Date.now() + HOUR, ...changes };
}

interface Ringing {
  readonly told?: Record<string, unknown>;
  readonly place?: string;
  readonly purpose?: string;
}

export class FakeFeed {
  kid = "snap-1";
  position = 0;
  leaseMs = 60_000; // no machine is so slow that it would end by itself
  renewMs = 1000;
  away = false;
  ahead = 0; // milliseconds, of its clock
  resync = false;
  registered = 0;
  refused = 0; // renewals, while it was away
  tellsOfSigners = true;
  records: Buffer[] = [];
  signers: Buffer[] = [];
  policies: unknown[] = [POLICY];
  warned: Record<string, number> = {};
  readonly applied: string[] = [];
  /** What was said without a renewal; to each of them this answers, once somebody is told where. */
  readonly words: string[] = [];
  hearing: (() => Answer) | undefined;
  readonly uses: { kid: string; outcome: string; count: number; minute: number }[] = [];
  #key: KeyObject;
  #x: string;
  readonly #changes: [number, Record<string, unknown>][] = [];

  constructor() {
    const pair = generateKeyPairSync("ed25519");
    this.#key = pair.privateKey;
    this.#x = String(pair.publicKey.export({ format: "jwk" }).x);
  }

  get keys(): SigningKeys {
    return { [this.kid]: this.#x };
  }

  /** Signs with a new key from now on. */
  signWith(kid: string): void {
    const pair = generateKeyPairSync("ed25519");
    [this.kid, this.#key, this.#x] = [kid, pair.privateKey, String(pair.publicKey.export({ format: "jwk" }).x)];
  }

  /** Answers where in-process verifiers ask. */
  at(keystead: FakeKeystead): this {
    keystead.on("GET /v1/jwks", () => [200, { keys: [{ kid: this.kid, crv: "Ed25519", x: this.#x }] }]);
    keystead.on("POST /v1/verifiers", () => (this.registered += 1, [201, { verifier: "v-1", lease_ms: this.leaseMs, renew_ms: this.renewMs, feed: `${keystead.url}/v1/feed`, ...this.#addresses(keystead.url) }]));
    keystead.on("POST /beside/applied", ({ body }) => (this.words.push(JSON.parse(body).applied), this.hearing?.() ?? [204, ""]));
    keystead.on("GET /v1/snapshot", () => [200, this.snapshot()]);
    keystead.on("POST /v1/verifiers/v-1/lease", (asked) => this.lease(asked));
    keystead.on("POST /v1/verifiers/v-1/uses", ({ body }) => (this.uses.push(...JSON.parse(body).uses), [204, ""]));
    keystead.on("DELETE /v1/verifiers/v-1", [204, ""]);
    return this;
  }

  #addresses(url: string): Record<string, string> {
    return this.hearing === undefined ? {} : { applied: `${url}/beside/applied` };
  }

  snapshot(): Buffer {
    const header = Buffer.from(JSON.stringify({
      kid: this.kid, service: "orders", environment: "prod", service_id: SERVICE_ID, environment_id: ENVIRONMENT_ID, position: positionAt(this.position), lease_ms: this.leaseMs,
      count: this.records.length, policies: this.policies, warned: this.warned,
      ...(this.tellsOfSigners ? { signers: Buffer.concat([...this.signers].sort(byKid)).toString("base64url") } : {}),
    }));
    const length = Buffer.alloc(4);
    length.writeUInt32LE(header.length);
    const content = Buffer.concat([Buffer.from("KSSNAP1\n"), length, header, ...[...this.records].sort(Buffer.compare)]);
    const told = createHash("sha256").update(content).digest();
    return Buffer.concat([content, sign(null, Buffer.concat([Buffer.from("keystead snapshot v1\n"), told]), this.#key)]);
  }

  /** Lets a key change; returns the position to wait for. */
  change(versions: Record<string, unknown>[], gone: string[] = [], keyId = "k-1", signers: Record<string, unknown>[] = []): string {
    this.position += 1;
    this.#changes.push([this.position, { key_id: keyId, versions, gone, ...(this.tellsOfSigners ? { signers } : {}) }]);
    return positionAt(this.position);
  }

  /** What the doorbell says of all that changed after `since`; signed by what is known here, unless told otherwise. */
  event(since: number, { told = {}, place = `${SERVICE_ID}\n${ENVIRONMENT_ID}`, purpose = "keystead event v1" }: Ringing = {}): string {
    const changes = this.#changes.filter(([position]) => position > since).map(([, change]) => change);
    const body = { changes, position: positionAt(this.position), since: positionAt(since), ...told };
    const signature = sign(null, Buffer.from(`${purpose}\n${place}\n${canonical(body)}`), this.#key).toString("base64url");
    return `event: change\ndata: ${canonical({ ...body, kid: this.kid, signature })}\n\n`;
  }

  lease({ body }: Asked, past?: string): Answer {
    if (this.away) {
      this.refused += 1;
      return problem("unavailable", 503);
    }
    const { applied } = JSON.parse(body) as { applied: string };
    this.applied.push(applied);
    const said = {
      lease_ms: this.leaseMs, position: positionAt(this.position, { past }), server_time: Date.now() + this.ahead, resync: this.resync,
      changes: this.#changes.filter(([position]) => position >= endOf(applied)).map(([, change]) => change),
    };
    this.resync = false;
    const signature = sign(null, Buffer.from(`keystead changes v1\nv-1\n${applied}\n${canonical(said)}`), this.#key);
    return [200, { ...said, signature: signature.toString("base64url"), kid: this.kid }];
  }
}

function byKid(one: Buffer, other: Buffer): number {
  return one.compare(other, 32, 48, 32, 48);
}

function endOf(position: string): number {
  return Number(position.split(":")[1]);
}
