/** Says what a program's own credential is: a text, or something that knows the current one. */

import { MalformedKey, Refused } from "./errors.js";
import { asSecret, Secret } from "./secret.js";
import { isSendable } from "./transport.js";

export interface Credential {
  /** The secret to present now. */
  current(): Secret;
  /** A service answered 401 to `secret`: another one to try, once, if there is one. */
  rejected?(secret: Secret): Promise<Secret | undefined>;
}

export type AnyCredential = string | Secret | Credential;

/**
 * Wraps a bare text, without what stands around it, such as the end of the line in a file.
 *
 * MalformedKey where nothing was given, such as a variable that is not set, or what no header may hold: no question would be answered.
 */
export function asCredential(value: AnyCredential): Credential {
  if (typeof value === "string" || value instanceof Secret) {
    const text = asSecret(value).reveal().trim();
    if (!isSendable(text)) throw new MalformedKey("The credential is no text that a header may hold: is it one line?", "unsendable");
    const secret = asSecret(text);
    return { current: () => secret };
  }
  if (typeof (value as Partial<Credential> | null | undefined)?.current !== "function") {
    throw new MalformedKey("No credential was given: neither a text nor something that knows one.", "no_credential");
  }
  return value;
}

/**
 * Asks with the secret of now; where it is refused, once more with another one, if the credential knows one.
 *
 * Around a rotation that leaves no time the old secret has stopped and is still the current one, or the other way round.
 */
export async function showing<T>(credential: Credential, ask: (bearer: string) => Promise<T>): Promise<T> {
  const secret = credential.current();
  try {
    return await ask(secret.reveal());
  } catch (error) {
    const isRefused = error instanceof Refused && error.status === 401;
    const other = isRefused ? await credential.rejected?.(secret) : undefined;
    if (other === undefined) throw error;
    return ask(other.reveal());
  }
}
