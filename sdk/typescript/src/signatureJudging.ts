/**
 * Decides in process about a request that is signed by a key pair: its form, its time, its signature, its key, and last its nonce.
 *
 * The order and the reasons are those of Keystead's door. A stranger gets `signature_invalid` whatever it is: no such key, another
 * key, something changed. The nonce is spent last, so that nobody spends one of a request that is refused for something else; and
 * because that may take a while, what was applied meanwhile is asked for behind it.
 */

import type { Belief, KnownSigner, State } from "./beliefs.js";
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
  /** What is believed when the store has answered. */
  readonly believed: () => Belief | undefined;
  readonly nonces: NonceStore;
  readonly limits: Limits;
}

/** The verdict, and whose use it is, by a kid, where that is known. */
export interface Judged {
  readonly verdict: Verdict;
  readonly used?: string;
}

/** Decides about a signed request; rejects for a body that is not its bytes, and for nothing that a stranger sent. */
export async function judgeSigned(request: SignedRequest, { belief, believed, nonces, limits, ...wanted }: Judging): Promise<Judged> {
  const { state, lease } = belief;
  const at = lease.now;
  const now = at / 1000;
  const refused = (reason: Reason, more: { used?: string | undefined; fault?: string } = {}): Judged => ({
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
  const before = judgeKey(presented, state, at, wanted);
  if (before.reason !== undefined) return refused(before.reason, before);
  let isFirst: unknown;
  try {
    isFirst = await spend(nonces, kid, nonce, { created, now }, lease.left);
  } catch (error) {
    // Whatever a store throws: it is not known to be the first time.
    const known = error instanceof NonceStoreUnavailable ? error : new NonceStoreUnavailable("the store failed");
    return refused("unavailable", { fault: known.code });
  }
  if (isFirst !== true) return refused("replay", { used: before.used });
  if (lease.left <= 0 || believed()?.state !== state) return refused("stale"); // the store took longer than what was believed lasts
  // Whoever stopped the key while the store was asked has a receipt as soon as that was applied here.
  const { signer, reason, used } = judgeKey(presented, state, lease.now, wanted, before.signer);
  if (reason !== undefined) return refused(reason, { used });
  const { entry, verdict } = signer;
  const tooMuch = entry.policy.limits && limits.refusal(entry.kid, entry.policy.limits, at);
  if (tooMuch !== undefined) return refused(tooMuch, { used });
  return { verdict, used };
}

type OfKey = { signer: KnownSigner; reason?: undefined; used: string } | { signer?: undefined; reason: Reason; used?: string };

/** Says whose signature it is, or why that key may not do what is asked; `known` was found to have signed it. */
function judgeKey(presented: Presented, state: State, at: number, wanted: Omit<Wanted, "method">, known?: KnownSigner): OfKey {
  const signer = state.findSigner(presented.kid);
  // The same work when there is no such key.
  const isSigned = (signer !== undefined && signer === known) || fits(signer?.key ?? NOBODY, presented.signature, presented.base);
  if (!isSigned || signer === undefined) return { reason: "signature_invalid" };
  const used = signer.entry.kid;
  // Only now the policy's own window: what it is would tell a stranger that the key exists.
  if (presented.created <= at / 1000 - signer.entry.policy.window) return { reason: "signature_expired", used };
  const reason = whyNot(signer.entry, Math.floor(at), wanted);
  return reason === undefined ? { signer, used } : { reason, used };
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
