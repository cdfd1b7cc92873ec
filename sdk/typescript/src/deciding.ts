/** Says why a version that is held may not do what is asked, and what is said of one that may: for keys that are shown and keys that sign. */

import { isBrownedOut } from "./brownouts.js";
import type { Entry } from "./snapshots.js";
import type { Accepted, Reason } from "./verdicts.js";
import type { Wanted } from "./verifier.js";

/** The first reason that holds at that instant, as Keystead's own verifier orders them. */
export function whyNot(entry: Entry, at: number, { scopes = [], client = {} }: Wanted): Reason | undefined {
  if (at >= entry.endsAt) return entry.retires ? "retired" : "expired";
  if (isBrownedOut(at, entry.endsAt, entry.warned)) return "rotate_now";
  const { policy } = entry;
  if (scopes.some((scope) => policy.signedScopes.has(scope))) return "signature_required";
  if (policy.networks !== undefined && !policy.networks.allow(client.address)) return "network";
  return scopes.every((scope) => policy.scopes.has(scope)) ? undefined : "scope";
}

export function accepted({ kid, policy, endsAt }: Entry): Accepted {
  return {
    valid: true,
    status: 200,
    kid,
    key: "",
    name: "",
    service: policy.service,
    environment: policy.environment,
    scopes: policy.scopes,
    ownerTeam: policy.ownerTeam,
    consumer: "",
    expiresAt: new Date(endsAt),
    verifiedAt: undefined,
  };
}
