/** A text that hides from console.log, JSON, string concatenation and error messages; only `reveal()` shows it. */

import { timingSafeEqual } from "node:crypto";
import { inspect } from "node:util";

const HIDDEN = "Secret(hidden)";

export class Secret {
  readonly #text: string;

  constructor(text: string) {
    if (text === "") throw new RangeError("a secret is never empty");
    this.#text = text;
  }

  /** The text. There is no other way out. */
  reveal(): string {
    return this.#text;
  }

  equals(other: Secret): boolean {
    const [mine, theirs] = [Buffer.from(this.#text), Buffer.from(other.#text)];
    return mine.length === theirs.length && timingSafeEqual(mine, theirs);
  }

  toString(): string {
    return HIDDEN;
  }

  toJSON(): string {
    return HIDDEN;
  }

  [inspect.custom](): string {
    return HIDDEN;
  }
}

export function asSecret(value: string | Secret): Secret {
  return value instanceof Secret ? value : new Secret(value);
}
