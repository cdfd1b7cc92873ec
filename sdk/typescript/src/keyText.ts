/**
 * Reads the text of a key, `ks_<env>_<kid>_<secret><check>`, offline, and digests it.
 *
 * The check tells a typo or a stranger's string apart without asking anybody. It is no protection: whoever knows this file
 * can compute it.
 */

import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";

import { MalformedKey } from "./errors.js";
import { Secret } from "./secret.js";

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CHECK_LENGTH = 6;
const CHECK_SEED = crc32("keystead key text v1");
const LONGEST = "ks_person__".length + 16 + 49;
const REST = "_([0-9A-Za-z]{12,16})_([0-9A-Za-z]{49})";
const WHOLE = new RegExp(`^ks_(dev|test|prod)${REST}$`);
// Also what stands for a person at a command line: to be found and refused in the wrong place, never to be accepted.
const WHOLE_SECRET = new RegExp(`^ks_(dev|test|prod|person)${REST}$`);
const INSIDE = new RegExp(`(?<![0-9A-Za-z_])ks_(dev|test|prod|person)${REST}(?![0-9A-Za-z_])`, "g");
const DIGEST_TAG = "keystead key digest v1\0";

/** What a well-formed key text says about itself; nothing about whether it is known or valid. */
export interface ParsedKey {
  readonly environment: "dev" | "test" | "prod";
  readonly kid: string;
}

/** A key, or the token of a person, inside a longer text. */
export interface FoundKey {
  readonly environment: ParsedKey["environment"] | "person";
  readonly kid: string;
  readonly start: number;
  readonly end: number;
}

/** Reads a key text, offline; throws MalformedKey. */
export function parse(text: string | Secret): ParsedKey {
  const outcome = read(revealed(text));
  if (typeof outcome === "string") {
    throw new MalformedKey("This is not the text of a key of Keystead, or it was mistyped.", outcome);
  }
  return outcome;
}

/** The kid, which is public; undefined when the text is not a key's. */
export function kidOf(text: string | Secret): string | undefined {
  const outcome = read(revealed(text));
  return typeof outcome === "string" ? undefined : outcome.kid;
}

/** Every well-formed key, and every token of a person, inside a longer text. */
export function* findKeys(text: string): Generator<FoundKey> {
  for (const match of text.matchAll(INSIDE)) {
    const outcome = read(match[0], WHOLE_SECRET);
    if (typeof outcome !== "string") yield { ...outcome, start: match.index, end: match.index + match[0].length };
  }
}

/** Digests a key text as Keystead stores it (`sha256-ks1`), in hex: enough to find it, of no use to present it. */
export function digest(text: string | Secret): string {
  return createHash("sha256").update(DIGEST_TAG).update(revealed(text), "utf8").digest("hex");
}

function revealed(text: string | Secret): string {
  return text instanceof Secret ? text.reveal() : text;
}

function read(text: string): ParsedKey | "key_form" | "key_check";
function read(text: string, pattern: RegExp): Omit<FoundKey, "start" | "end"> | "key_form" | "key_check";
function read(text: string, pattern = WHOLE): Omit<FoundKey, "start" | "end"> | "key_form" | "key_check" {
  // JavaScript's $ without the m flag matches at the very end only, so a trailing line break is no key.
  const match = text.length <= LONGEST ? pattern.exec(text) : null;
  if (match === null) return "key_form";
  // A presented key is the caller's own text: comparing the check in variable time tells nobody anything.
  if (checkOf(text.slice(0, -CHECK_LENGTH)) !== text.slice(-CHECK_LENGTH)) return "key_check";
  return { environment: match[1] as FoundKey["environment"], kid: match[2] as string };
}

function checkOf(body: string): string {
  let [rest, characters] = [crc32(body, CHECK_SEED), ""];
  for (let place = 0; place < CHECK_LENGTH; place++) {
    characters = ALPHABET.charAt(rest % 62) + characters;
    rest = Math.floor(rest / 62);
  }
  return characters;
}
