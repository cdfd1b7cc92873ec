/**
 * Finds the words for a signature that is not in the one form: strict reading of structured fields (RFC 8941), for people.
 *
 * Nothing that comes out of here is ever accepted; it only tells the author of a client what to look at.
 */

import {
  CREATED, ED25519, type Fault, HMAC_SHA256, KEYID, LABEL, LONGEST_HEADER, NONCE, PARAMETERS, TAG, WITH_BODY, WITHOUT_BODY,
} from "./signatureProfile.js";

const KEY = "[a-z*][a-z0-9_.*-]{0,63}";
const TEXT = String.raw`"(?:[ !#-\[\]-~]|\\["\\]){0,300}"`;
const MEMBER = new RegExp(String.raw`^(${KEY})=\(([^()]{0,600})\)((?:;.*)?)$`);
const COMPONENT = new RegExp(`^${TEXT}(?:;${KEY}(?:=${TEXT})?){0,8}$`);
const PARAMETER = new RegExp(`;(${KEY})(?:=(${TEXT}|[^;,"]{0,100}))?`, "y");
const ANY_LABEL = new RegExp(`^(${KEY})=[^\\n]*$`);
const PRINTABLE = /^[\x20-\x7e]*$/;
const VALUES: Readonly<Record<(typeof PARAMETERS)[number], RegExp>> = {
  created: new RegExp(`^${CREATED}$`),
  keyid: new RegExp(`^"${KEYID}"$`),
  alg: new RegExp(`^"(?:${HMAC_SHA256}|${ED25519})"$`),
  nonce: new RegExp(`^"${NONCE}"$`),
  tag: new RegExp(`^"${TAG}"$`),
};

/** What is wrong with the header Signature, which is not in its one form. */
export function faultOfSignature(written: string): Fault {
  if (written.includes(",")) return "header_repeated"; // two members, or two header lines that somebody joined
  const label = ANY_LABEL.exec(written)?.[1];
  return label !== undefined && label !== LABEL ? "label" : "signature_form";
}

/** What is wrong with the header Signature-Input. */
export function faultOfInput(written: string, hasBody: boolean): Fault {
  if (written.length > LONGEST_HEADER || !PRINTABLE.test(written)) return "signature_input_form";
  const [, label, components = "", rest = ""] = MEMBER.exec(written) ?? [];
  if (label === undefined) return "signature_input_form";
  const found = parameters(rest);
  if (found === undefined) return rest.includes(",") ? "header_repeated" : "signature_input_form";
  if (label !== LABEL) return "label";
  const fault = faultOfComponents(components, hasBody);
  if (fault !== undefined) return fault;
  if (found.map(([name]) => name).join() !== PARAMETERS.join()) return "parameters";
  const wrong = PARAMETERS.find((name, place) => !VALUES[name].test(found[place]?.[1] ?? ""));
  return wrong ?? "signature_input_form";
}

function parameters(written: string): [string, string][] | undefined {
  const found: [string, string][] = [];
  PARAMETER.lastIndex = 0;
  while (PARAMETER.lastIndex < written.length) {
    const match = PARAMETER.exec(written);
    if (match === null) return undefined;
    found.push([match[1] ?? "", match[2] ?? ""]);
  }
  return found;
}

function faultOfComponents(written: string, hasBody: boolean): Fault | undefined {
  if (!written.split(" ").every((part) => COMPONENT.test(part))) return "components";
  const named = `(${written})`;
  if (named === (hasBody ? WITH_BODY : WITHOUT_BODY)) return undefined;
  if (named === WITHOUT_BODY) return "unexpected_body"; // one came all the same, and nobody signed it
  return named === WITH_BODY ? "digest_mismatch" : "components";
}
