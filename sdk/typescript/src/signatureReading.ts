/**
 * Reads a signed request and writes its signature base (RFC 9421, 2.5), as Keystead's door does.
 *
 * One regular expression accepts the one spelling that there is, so what was sent is its own canonical form and nothing is
 * parsed to be written again. Whatever it does not accept is refused; `signatureDiagnosis` only finds the words.
 */

import { faultOfInput, faultOfSignature } from "./signatureDiagnosis.js";
import {
  BASE64_OF_32, CREATED, ED25519, type Fault, HMAC_SHA256, KEYID, LABEL, LONGEST_HEADER, LONGEST_TARGET, MalformedSignature,
  NONCE, SIGNATURES, TAG, WITH_BODY, WITHOUT_BODY,
} from "./signatureProfile.js";
import { receivedDigest, type SignedRequest } from "./signedRequests.js";

const BARE = `${LABEL}=${WITHOUT_BODY};`;
const FULL = `${LABEL}=${WITH_BODY};`;
const PARAMETERS = new RegExp(
  `^created=(${CREATED});keyid="(${KEYID})";alg="(${HMAC_SHA256}|${ED25519})";nonce="(${NONCE})";tag="${TAG}"$`,
);
const TARGET =
  /^"@method": [A-Z]{1,20}\n"@authority": [a-z0-9.:[\]_-]+\n"@path": \/[!-"$->@-~]*\n"@query": \?[!-"$-~]*\n$/;
const CONTENT_DIGEST = new RegExp(`^sha-256=:${BASE64_OF_32}:$`);
const DEFAULT_PORTS = new Map([["https", ":443"], ["http", ":80"]]);
const PRINTABLE = /^[\x20-\x7e]+$/;

/** A signature in its right form, about a request: nothing says yet whether it is true. */
export interface Presented {
  readonly kid: string;
  readonly algorithm: string;
  readonly created: number;
  readonly nonce: string;
  readonly base: Buffer;
  readonly signature: Buffer;
}

/** Reads the signature of a request; throws MalformedSignature for whatever is not the one form. */
export function readSigned(request: SignedRequest): Presented {
  const headers = request.headers ?? {};
  const bodyDigest = receivedDigest(request);
  const [written, signature] = [one(headers["signature-input"]), one(headers["signature"])];
  const prefix = bodyDigest ? FULL : BARE;
  const match = written.startsWith(prefix) ? PARAMETERS.exec(written.slice(prefix.length)) : null;
  if (match === null || written.length > LONGEST_HEADER) throw new MalformedSignature(faultOfInput(written, bodyDigest !== ""));
  const [, created = "", kid = "", algorithm = "", nonce = ""] = match;
  if (!SIGNATURES[algorithm]?.test(signature)) throw new MalformedSignature(faultOfSignature(signature));
  const bodyLines = body(headers, bodyDigest);
  const base = `${target(request)}${bodyLines}"@signature-params": ${written.slice(LABEL.length + 1)}`;
  const signed = Buffer.from(signature.slice(`${LABEL}=:`.length, -1), "base64");
  return { kid, algorithm, created: Number(created), nonce, base: Buffer.from(base, "latin1"), signature: signed };
}

/** The one line of a header: a list that holds another number of lines was sent twice, or joined from two. */
function one(header: unknown, missing: Fault = "header_missing"): string {
  if (header === undefined || header === null || header === "" || (Array.isArray(header) && header.length === 0)) {
    throw new MalformedSignature(missing);
  }
  if (Array.isArray(header) && header.length > 1) throw new MalformedSignature("header_repeated");
  const line: unknown = Array.isArray(header) ? header[0] : header;
  if (typeof line !== "string" || line === "") throw new MalformedSignature("header_missing");
  return line;
}

function target({ method, scheme = "https", authority, path, query = "" }: SignedRequest): string {
  if (![method, authority, path, query].every((each) => typeof each === "string")) throw new MalformedSignature("target");
  const host = authority.toLowerCase();
  const port = DEFAULT_PORTS.get(scheme);
  const named = port !== undefined && host.endsWith(port) ? host.slice(0, -port.length) : host;
  const written = `"@method": ${method}\n"@authority": ${named}\n"@path": ${path || "/"}\n"@query": ?${query}\n`;
  // No value may hold a line break: one component would speak for the next.
  if (written.length > LONGEST_TARGET || !TARGET.test(written)) throw new MalformedSignature("target");
  return written;
}

function body(headers: SignedRequest["headers"], bodyDigest: string): string {
  if (bodyDigest === "") return "";
  const contentType = trimmed(one(headers["content-type"], "content_type"));
  const told = trimmed(one(headers["content-digest"], "content_digest"));
  if (!PRINTABLE.test(contentType)) throw new MalformedSignature("content_type");
  if (!CONTENT_DIGEST.test(told)) throw new MalformedSignature("content_digest");
  if (told !== bodyDigest) throw new MalformedSignature("digest_mismatch");
  return `"content-type": ${contentType}\n"content-digest": ${told}\n`;
}

/** Without the blanks around it, found from each end: an expression for them looks at a long row of blanks again and again. */
function trimmed(text: string): string {
  let [start, end] = [0, text.length];
  while (start < end && isBlank(text.charCodeAt(start))) start += 1;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end -= 1;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
