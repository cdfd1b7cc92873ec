/**
 * Decides in process about a request that is signed by a key pair: its form, its time, its signature, its key, and last its nonce.
 *
 * The order and the reasons are those of Keystead's door. A stranger gets `signature_invalid` whatever it is: no such key, another
 * key, something changed. The nonce is spent last, so that nobody spends one of a request that is refused for something else.
 */

import type { Belief } from "./beliefs.js";
import { whyNot } from "./deciding.js";
import { fits, keyOf } from "./ed25519.js";
import type { Limits } from "./limits.js";
import { NonceStoreUnavailable, type NonceStore, type Spending } from "./nonces.js";
import { ED25519, FUTURE_SKEW_SECONDS, LONGEST_WINDOW_SECONDS, MalformedSignature } from "./signatureProfile.js";
import { type Presented, readSigned } from "./signatureReading.js";
import type { SignedRequest } from "./signedRequests.js";
import { type Reason, refusal, type Verdict } from "./verdicts.js";
import type { Wanted } from "./verifier.js";

// Checked with when there is no such key: who does not hold it cannot tell by the time it takes.
const NOBODY = keyOf(Buffer.from("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "hex"));

export interface Judging extends Omit<Wanted, "method"> {
  /** What holds now; also of an answer that has to wait. */
  readonly belief: Belief;
  readonly nonces: NonceStore;
  readonly limits: Limits;
}

/** The verdict, and whose use it is, by a kid, where that is known. */
export interface Judged {
  readonly verdict: Verdict;
  readonly used?: string;
}

/** Decides about a signed request; rejects for a body that is not its bytes, and for nothing that a stranger sent. */
export async function judgeSigned(request: SignedRequest, { belief, nonces, limits, ...wanted }: Judging): Promise<Judged> {
  const { state, lease } = belief;
  const at = lease.now;
  const now = at / 1000;
  const refused = (reason: Reason, more: { used?: string; fault?: string } = {}): Judged => ({
    verdict: refusal(reason, { fault: more.fault, serverTime: Math.floor(now) }),
    ...(more.used === undefined ? {} : { used: more.used }),
  });
  let presented: Presented;
  try {
    presented = readSigned(request);
  } catch (error) {
    if (error instanceof MalformedSignature) return refused("signature_malformed", { fault: error.fault });
    throw error;
  }
  const { kid, nonce, created } = presented;
  if (created <= now - LONGEST_WINDOW_SECONDS) return refused("signature_expired");
  if (created > lease.earliest / 1000 + FUTURE_SKEW_SECONDS) return refused("signature_in_future");
  // Whoever's it is: shared secrets never leave Keystead.
  if (presented.algorithm !== ED25519) return refused("not_in_process");
  const signer = state.findSigner(kid);
  // The same work when there is no such key.
  const isSigned = fits(signer?.key ?? NOBODY, presented.signature, presented.base);
  if (!isSigned || signer === undefined) return refused("signature_invalid");
  const { entry } = signer;
  const used = entry.kid;
  // Only now the policy's own window: what it is would tell a stranger that the key exists.
  if (created <= now - entry.policy.window) return refused("signature_expired", { used });
  const reason = whyNot(entry, Math.floor(at), wanted);
  if (reason !== undefined) return refused(reason, { used });
  let isFirst: unknown;
  try {
    isFirst = await spend(nonces, kid, nonce, { created, now }, lease.left);
  } catch (error) {
    // Whatever a store throws: it is not known to be the first time.
    const known = error instanceof NonceStoreUnavailable ? error : new NonceStoreUnavailable("the store failed");
    return refused("unavailable", { fault: known.code });
  }
  if (isFirst !== true) return refused("replay", { used });
  if (lease.left <= 0) return refused("stale"); // the store took longer than what was believed lasts
  const tooMuch = entry.policy.limits && limits.refusal(entry.kid, entry.policy.limits, at);
  if (tooMuch !== undefined) return refused(tooMuch, { used });
  return { verdict: signer.verdict, used };
}

/** Asks the store, and no longer than what was believed lasts: clients that are cut off may keep a command for ever. */
async function spend(nonces: NonceStore, kid: string, nonce: string, spending: Spending, patience: number): Promise<unknown> {
  const said = nonces.spend(kid, nonce, spending);
  if (typeof said === "boolean") return said;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new NonceStoreUnavailable("The store did not answer in time.")), patience);
  });
  try {
    return await Promise.race([said, late]);
  } finally {
    clearTimeout(timer);
  }
}
