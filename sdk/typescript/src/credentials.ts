/** Says what a program's own credential is: a text, or something that knows the current one. */

import { asSecret, Secret } from "./secret.js";

export interface Credential {
  /** The secret to present now. */
  current(): Secret;
  /** A service answered 401 to `secret`: another one to try, once, if there is one. */
  rejected?(secret: Secret): Promise<Secret | undefined>;
}

export type AnyCredential = string | Secret | Credential;

export function asCredential(value: AnyCredential): Credential {
  if (typeof value !== "string" && !(value instanceof Secret)) return value;
  const secret = asSecret(value);
  return { current: () => secret };
}
