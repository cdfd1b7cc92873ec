/** What Keystead answers about a presented key: who it is, or why it is refused. */

import { Unreachable } from "./errors.js";
import { isObject } from "./transport.js";

/**
 * Why a key is refused. Handle every reason that you do not know as a refusal. `unavailable` is ours: nobody could be asked; and
 * `not_in_process`: a shared secret signed it, which never leaves Keystead, so `Verifier` can ask about it.
 */
export type Reason =
  | "malformed" | "unknown" | "wrong_environment" | "wrong_service" | "not_yet_active" | "expired" | "retired"
  | "suspended" | "revoked" | "compromised" | "rotate_now" | "network" | "scope" | "rate_limit" | "quota"
  | "signature_required" | "signature_malformed" | "signature_expired" | "signature_in_future" | "signature_invalid"
  | "replay" | "integrity_failure" | "stale" | "unavailable" | "not_in_process"
  | (string & {});

/** Who presented the key, as far as the service knows. A key with allowed networks needs the address. */
export interface Client {
  readonly address?: string;
  readonly userAgent?: string;
  readonly instance?: string;
}

export interface Accepted {
  readonly valid: true;
  readonly status: 200;
  readonly kid: string;
  readonly key: string;
  readonly name: string;
  readonly service: string;
  readonly environment: string;
  readonly scopes: ReadonlySet<string>;
  readonly ownerTeam: string;
  readonly consumer: string;
  readonly expiresAt: Date | undefined;
  readonly verifiedAt: Date | undefined;
}

export interface Rejected {
  readonly valid: false;
  /** The HTTP status with which a service answers its caller: 401, 403, 429 or 503. */
  readonly status: 401 | 403 | 429 | 503;
  readonly reason: Reason;
  readonly fault: string | undefined;
  readonly serverTime: number | undefined;
}

export type Verdict = Accepted | Rejected;

const STATUS: Readonly<Record<string, 403 | 429 | 503>> = {
  network: 403,
  scope: 403,
  wrong_environment: 403,
  wrong_service: 403,
  rate_limit: 429,
  quota: 429,
  stale: 503,
  unavailable: 503,
};

export function refusal(reason: Reason, more: { fault?: unknown; serverTime?: unknown } = {}): Rejected {
  return {
    valid: false,
    status: (Object.hasOwn(STATUS, reason) && STATUS[reason]) || 401,
    reason,
    fault: typeof more.fault === "string" ? more.fault : undefined,
    serverTime: Number.isInteger(more.serverTime) ? (more.serverTime as number) : undefined,
  };
}

/** Reads what `/v1/verify` answered; only a literal `true` is valid, and what cannot be read throws Unreachable. */
export function readVerdict(answer: unknown): Verdict {
  if (!isObject(answer) || typeof answer["valid"] !== "boolean") {
    throw new Unreachable("The answer is not a verdict of Keystead.", "not_a_verdict");
  }
  if (!answer["valid"]) {
    const reason = typeof answer["reason"] === "string" ? answer["reason"] : "unknown";
    return refusal(reason, { fault: answer["fault"], serverTime: answer["server_time"] });
  }
  const scopes = answer["scopes"];
  if (!Array.isArray(scopes) || !scopes.every((each) => typeof each === "string")) {
    throw new Unreachable("The answer names no scopes.", "not_a_verdict");
  }
  const text = (name: string): string => (typeof answer[name] === "string" ? answer[name] : "");
  return {
    valid: true,
    status: 200,
    kid: text("kid"),
    key: text("key"),
    name: text("name"),
    service: text("service"),
    environment: text("environment"),
    scopes: new Set(scopes as string[]),
    ownerTeam: text("owner_team"),
    consumer: text("consumer"),
    expiresAt: time(answer["expires_at"]),
    verifiedAt: time(answer["verified_at"]),
  };
}

function time(value: unknown): Date | undefined {
  if (typeof value !== "string") return undefined;
  const at = new Date(value);
  if (Number.isNaN(at.getTime())) throw new Unreachable("The answer holds a time that is none.", "not_a_verdict");
  return at;
}
