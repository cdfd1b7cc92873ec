/** Key pairs that sign, verifiers that hold what a test says, and requests as a service receives them. */

import { generateKeyPairSync, type KeyObject } from "node:crypto";

import { type Belief, State } from "../src/beliefs.js";
import { MemoryNonces, type SignedRequest, Signer, type Signing, type Verdict, type Wanted } from "../src/index.js";
import { Limits } from "../src/limits.js";
import type { NonceStore } from "../src/nonces.js";
import { judgeSigned } from "../src/signatureJudging.js";
import { readSnapshot } from "../src/snapshots.js";
import { FakeFeed, signerRecord } from "./fakeFeed.js";

export const BODY = Buffer.from('{"amount":"12.50"}');

export interface Pair {
  readonly kid: string;
  readonly publicKey: Buffer;
  readonly signer: Signer;
}

export function pairOf(kid: string): Pair {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  return { kid, publicKey: rawOf(publicKey), signer: Signer.ed25519(pem, { keyid: kid }) };
}

function rawOf(key: KeyObject): Buffer {
  return Buffer.from(String(key.export({ format: "jwk" }).x), "base64url");
}

export function signed(signer: Signer, { method = "POST", path = "/orders", body = BODY, ...more }: Partial<SignedRequest> & Signing = {}): SignedRequest {
  const headers = signer.sign(method, `https://api.example.com${path}`, { contentType: "application/json", ...more, body: body as Buffer });
  const lower = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), [value]]));
  return { method, authority: "api.example.com", path, headers: lower, body: body as Buffer };
}

/** What a vector calls a request, as a service receives it. */
export function received({ body, ...request }: { body: string } & Record<string, unknown>): SignedRequest {
  return { ...request, body: Buffer.from(body) } as unknown as SignedRequest;
}

/** What a verifier holds. */
export interface Held {
  readonly kid: string;
  readonly public_key: string;
  readonly policy: unknown;
  readonly retires: boolean;
  readonly ends_at: number;
  readonly warned: number | null;
}

export function stateOf(held: readonly Held[]): State {
  const feed = new FakeFeed();
  feed.policies = held.map(({ policy }) => policy);
  for (const [place, each] of held.entries()) {
    feed.signers.push(signerRecord(Buffer.from(each.public_key, "base64url"), each.kid, { policy: place, retires: each.retires, endsAt: each.ends_at }));
    if (each.warned !== null) feed.warned[each.kid] = each.warned;
  }
  return new State(readSnapshot(feed.snapshot(), feed.keys));
}

/** A belief at an instant of Keystead's clock that stands still. */
export function believing(state: State, at: number, { ahead = 0, left = 60_000 } = {}): Belief {
  return { state, lease: { now: at, earliest: at - ahead, left } };
}

/** A memory of nonces that has been there for an hour, by Keystead's clock. */
export function remembering(at: number, options: { most?: number } = {}): MemoryNonces {
  const nonces = new MemoryNonces(options);
  const before = at / 1000 - 3600;
  try {
    nonces.spend("k", "first", { created: 0, now: before });
  } catch {
    // It was young then.
  }
  return nonces;
}

export async function judged(
  request: SignedRequest,
  belief: Belief,
  nonces: NonceStore,
  wanted: Omit<Wanted, "method"> = {},
): Promise<{ said: string; fault: string; serverTime: number | undefined; verdict: Verdict }> {
  const { verdict } = await judgeSigned(request, { belief, believed: () => belief, nonces, limits: new Limits(), ...wanted });
  if (verdict.valid) return { said: "valid", fault: "", serverTime: undefined, verdict };
  return { said: verdict.reason, fault: verdict.fault ?? "", serverTime: verdict.serverTime, verdict };
}
