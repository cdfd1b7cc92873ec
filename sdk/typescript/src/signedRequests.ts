/** A signed request as a service received it, and what of it Keystead reads. */

import { createHash } from "node:crypto";
import { isUint8Array } from "node:util/types";

import { Unsafe } from "./errors.js";
import { COVERED_HEADERS } from "./signatureProfile.js";

/**
 * A signed request as a service received it: `path` and `query` as on the wire, every value of each header that came, under
 * its name in lower case. Give the `body`, or, of one that is not held whole, the `bodyDigest` that you computed over what
 * came (`contentDigest`): never the client's own header. Neither means that there was no body.
 */
export interface SignedRequest {
  readonly method: string;
  readonly scheme?: "https" | "http";
  readonly authority: string;
  readonly path: string;
  readonly query?: string;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body?: Uint8Array;
  readonly bodyDigest?: string;
}

/** The digest of a body by RFC 9530. */
export function contentDigest(body: Uint8Array): string {
  return `sha-256=:${createHash("sha256").update(body).digest("base64")}:`;
}

/** What the header Content-Digest must say; empty when there was no body. Throws Unsafe for a body that is not its bytes. */
export function receivedDigest({ body, bodyDigest }: SignedRequest): string {
  if (body === undefined || body === null) return bodyDigest ?? "";
  // What a parser made of it has no length: it would count as no body, and what nobody signed would be let in.
  if (!isUint8Array(body)) throw new Unsafe("A signature covers the bytes of the body as they came.", "body_not_bytes");
  return body.length > 0 ? contentDigest(body) : (bodyDigest ?? "");
}

/** What `/v1/verify-signature` reads; the body itself stays here. */
export function signedRequestJson(request: SignedRequest): Record<string, unknown> {
  const headers: Record<string, readonly string[]> = {};
  for (const name of COVERED_HEADERS) {
    const value = request.headers[name];
    if (value !== undefined) headers[name] = typeof value === "string" ? [value] : value;
  }
  return {
    method: request.method,
    scheme: request.scheme ?? "https",
    authority: request.authority,
    path: request.path,
    query: request.query ?? "",
    headers,
    body_digest: receivedDigest(request) || null,
  };
}
