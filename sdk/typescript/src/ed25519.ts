/** Checks signatures of Ed25519 (RFC 8032) by Node's own crypto, under keys that are read strictly. */

import { createPublicKey, type KeyObject, verify as verifyBytes } from "node:crypto";

import { IntegrityError } from "./errors.js";

const KEY_LENGTH = 32;

/** Public keys that may sign: kid to the `x` of the JSON Web Key. */
export type SigningKeys = Readonly<Record<string, string>>;

/** Reads unpadded base64url in its one spelling; anything else is refused, so that no two texts mean the same bytes. */
export function fromBase64url(text: unknown): Buffer {
  const value = typeof text === "string" ? Buffer.from(text, "base64url") : undefined;
  if (value === undefined || value.toString("base64url") !== text) throw new IntegrityError("not base64url", "base64url");
  return value;
}

/** Reads the 32 bytes of a public key, the `x` of a JSON Web Key (RFC 8037). */
export function rawKey(x: unknown): Buffer {
  const raw = fromBase64url(x);
  if (raw.length !== KEY_LENGTH) throw new IntegrityError("this is no Ed25519 public key", "public_key");
  return raw;
}

/** Makes the key of 32 bytes. */
export function keyOf(raw: Buffer): KeyObject {
  return createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: raw.toString("base64url") }, format: "jwk" });
}

/** Whether the key signed the message. */
export function fits(key: KeyObject, signature: Buffer, message: Buffer): boolean {
  return verifyBytes(null, message, key, signature);
}

/** Passes if the pinned key of that kid signed the message; throws IntegrityError. */
export function checkSigned(keys: SigningKeys, kid: unknown, signature: Buffer, message: Buffer): void {
  const x = typeof kid === "string" && Object.hasOwn(keys, kid) ? keys[kid] : undefined;
  if (x === undefined) throw new IntegrityError("signed with a key that is not pinned", "unknown_signing_key");
  if (!fits(keyOf(rawKey(x)), signature, message)) throw new IntegrityError("the signature does not fit", "signature");
}
