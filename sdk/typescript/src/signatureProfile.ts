/** The one form of a signed request (RFC 9421) that there is: what is covered, in which order, for how long. */

export const LABEL = "keystead";
export const TAG = "keystead-v1";
export const WITHOUT_BODY = '("@method" "@authority" "@path" "@query")';
export const WITH_BODY = '("@method" "@authority" "@path" "@query" "content-type" "content-digest")';
export const PARAMETERS = ["created", "keyid", "alg", "nonce", "tag"] as const;
export const HMAC_SHA256 = "hmac-sha256";
export const ED25519 = "ed25519";
export const COVERED_HEADERS = ["signature-input", "signature", "content-type", "content-digest"] as const;

export const FUTURE_SKEW_SECONDS = 5;
export const LONGEST_WINDOW_SECONDS = 120; // of any policy
export const WINDOW_SECONDS = 60; // where a policy says nothing of it
export const LONGEST_HEADER = 1024;
export const LONGEST_TARGET = 16 * 1024;

// The spellings of the parameters and of the signature, each written once.
export const CREATED = "[1-9][0-9]{9}";
export const KEYID = "[0-9A-Za-z]{12,16}";
// At least 128 random bits in base64url. Compared as text, never decoded: so there is no second spelling of the same nonce.
export const NONCE = "[A-Za-z0-9_-]{22,64}";
// Standard base64 in its one spelling: the last character before the padding carries no spare bits.
export const BASE64_OF_32 = "[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=";
const BASE64_OF_64 = "[A-Za-z0-9+/]{85}[AQgw]==";
export const SIGNATURES: Readonly<Record<string, RegExp>> = {
  [HMAC_SHA256]: new RegExp(`^${LABEL}=:${BASE64_OF_32}:$`),
  [ED25519]: new RegExp(`^${LABEL}=:${BASE64_OF_64}:$`),
};

/** What in a signature, or in what it covers, has not that form. */
export type Fault =
  | "header_missing" | "header_repeated" | "signature_input_form" | "signature_form" | "label" | "components" | "parameters"
  | "created" | "keyid" | "alg" | "nonce" | "tag" | "content_type" | "content_digest" | "digest_mismatch" | "unexpected_body" | "target";

/** The request is not signed in that form; `fault` says what is wrong. Nothing is quoted. */
export class MalformedSignature extends Error {
  constructor(readonly fault: Fault) {
    super(fault);
  }
}
