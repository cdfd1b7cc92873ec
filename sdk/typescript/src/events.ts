/** Reads the change that comes with a ring: signed, and of use only where it follows on what is held. */

import { checkSigned, fromBase64url, type SigningKeys } from "./ed25519.js";
import { isObject } from "./transport.js";

const POSITION = /^\d{1,20}:(\d{1,20}):((?:\d{1,20}(?:,\d{1,20})*)?)@([0-9a-f]{16})$/;

/** All that became of the keys of one place after `since` and up to `position`. */
export interface Event {
  readonly since: string;
  readonly position: string;
  readonly changes: readonly Record<string, unknown>[];
}

/** Where a snapshot is of: the ids of a service and of an environment. */
export type Place = readonly [service: string, environment: string];

/** Reads an event under the pinned keys; undefined: it only rings. Throws for what is no event, or signed by nobody who may. */
export function readEvent(text: string, keys: SigningKeys, [service, environment]: Place): Event | undefined {
  const value: unknown = JSON.parse(text);
  if (!isObject(value) || value["signature"] === undefined) return undefined;
  const { changes, position, since, kid, signature } = value;
  const message = `keystead event v1\n${service}\n${environment}\n${canonical({ changes, position, since })}`;
  checkSigned(keys, kid, fromBase64url(signature), Buffer.from(message));
  return { since: String(since), position: String(position), changes: changes as Record<string, unknown>[] };
}

/**
 * Whether whoever stands here knows all that is known there; throws for what is no position.
 *
 * A position says which transactions it knows: all below its end but those that were open (PostgreSQL's pg_snapshot). Numbers of
 * different pasts mean different transactions.
 */
export function reaches(here: string, there: string): boolean {
  const [mine, theirs] = [readPosition(here), readPosition(there)];
  return (
    mine.past === theirs.past && theirs.end <= mine.end && [...mine.open].every((each) => each >= theirs.end || theirs.open.has(each))
  );
}

/** Writes JSON as RFC 8785 does: names in order, no spaces. There are only whole numbers. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (!isObject(value)) return JSON.stringify(value);
  const members = Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`);
  return `{${members.join(",")}}`;
}

function readPosition(position: string): { readonly past: string; readonly end: bigint; readonly open: ReadonlySet<bigint> } {
  const [, end, open, past] = POSITION.exec(position) ?? [];
  if (end === undefined || past === undefined) throw new RangeError("this is no position");
  return { past, end: BigInt(end), open: new Set(open ? open.split(",").map(BigInt) : []) };
}
