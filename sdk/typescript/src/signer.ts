/** Signs requests by RFC 9421 in Keystead's one profile: what is signed, and in which order, is fixed. */

import { createHmac, createPrivateKey, randomBytes, sign as signBytes } from "node:crypto";

import { type AnyCredential, asCredential } from "./credentials.js";
import { MalformedKey, Unsafe } from "./errors.js";
import { findKeys, parse } from "./keyText.js";
import { ED25519, HMAC_SHA256, LABEL, TAG, WITH_BODY, WITHOUT_BODY } from "./signatureProfile.js";
import { contentDigest } from "./signedRequests.js";

export interface Signing {
  readonly body?: Uint8Array | string;
  readonly contentType?: string;
  /** For test vectors only. */
  readonly nonce?: string;
  readonly created?: number;
}

// More is no clock that is wrong: whoever could have requests signed for another day would keep them until they are good.
const LARGEST_SHIFT_SECONDS = 24 * 60 * 60;
const MOST_CLOCKS = 1000;

type Sign = (base: Buffer) => Buffer;

export class Signer {
  readonly #offsets = new Map<string, number>(); // of each host's clock to ours, learnt from its refusals
  readonly #key: () => { keyid: string; sign: Sign };
  readonly #algorithm: string;

  private constructor(algorithm: string, key: () => { keyid: string; sign: Sign }) {
    this.#algorithm = algorithm;
    this.#key = key;
  }

  /** Signs with a key of the kind `hmac-sha256`, whose text never travels. A RotatingCredential may be given. */
  static hmac(credential: AnyCredential): Signer {
    const known = asCredential(credential);
    return new Signer(HMAC_SHA256, () => {
      const secret = known.current();
      return { keyid: parse(secret).kid, sign: (base) => createHmac("sha256", secret.reveal()).update(base).digest() };
    });
  }

  /** Signs with your own private key (PEM, PKCS#8); Keystead knows only its public half, under the kid `keyid`. */
  static ed25519(privateKeyPem: string, { keyid }: { readonly keyid: string }): Signer {
    const key = createPrivateKey(privateKeyPem);
    if (key.asymmetricKeyType !== "ed25519") throw new Unsafe("this private key is not an Ed25519 key", "not_ed25519");
    return new Signer(ED25519, () => ({ keyid, sign: (base) => signBytes(null, base, key) }));
  }

  /** The headers to add. A retry is signed anew: a signature is accepted once. */
  sign(method: string, url: string, signing: Signing = {}): Record<string, string> {
    const body = typeof signing.body === "string" ? Buffer.from(signing.body) : (signing.body ?? new Uint8Array());
    const { keyid, sign } = this.#key();
    const created = signing.created ?? Math.floor(Date.now() / 1000) + (this.#offsets.get(new URL(url).host) ?? 0);
    const nonce = signing.nonce ?? randomBytes(16).toString("base64url");
    const hasBody = body.length > 0;
    const covered =
      (hasBody ? WITH_BODY : WITHOUT_BODY) +
      `;created=${created};keyid="${keyid}";alg="${this.#algorithm}";nonce="${nonce}";tag="${TAG}"`;
    const lines = targetLines(method, url);
    const headers: Record<string, string> = {};
    if (hasBody) {
      headers["Content-Type"] = signing.contentType || "application/octet-stream";
      headers["Content-Digest"] = contentDigest(body);
      lines.push(["content-type", headers["Content-Type"].trim()], ["content-digest", headers["Content-Digest"]]);
    }
    const signature = sign(signatureBase(lines, covered)).toString("base64");
    return { ...headers, "Signature-Input": `${LABEL}=${covered}`, Signature: `${LABEL}=:${signature}:` };
  }

  /** Corrects the clock for the host of `url` after its refusal about time; whether signing once more makes sense. */
  learnTime(url: string, { code, serverTime }: { readonly code: unknown; readonly serverTime: unknown }): boolean {
    if ((code !== "signature_expired" && code !== "signature_in_future") || !Number.isInteger(serverTime)) return false;
    const shift = (serverTime as number) - Math.floor(Date.now() / 1000);
    if (Math.abs(shift) > LARGEST_SHIFT_SECONDS) return false;
    const { host } = new URL(url);
    this.#offsets.delete(host);
    this.#offsets.set(host, shift);
    for (const oldest of this.#offsets.keys()) {
      if (this.#offsets.size <= MOST_CLOCKS) break;
      this.#offsets.delete(oldest);
    }
    return true;
  }
}

/** The bytes that are signed (RFC 9421, 2.5). */
function signatureBase(lines: readonly (readonly [string, string])[], covered: string): Buffer {
  for (const [name, value] of lines) {
    if (!/^[\x20-\x7e]*$/.test(value)) throw new RangeError(`${name} holds characters that cannot be signed`);
  }
  const written = lines.map(([name, value]) => `"${name}": ${value}`);
  return Buffer.from([...written, `"@signature-params": ${covered}`].join("\n"));
}

function targetLines(method: string, url: string): [string, string][] {
  if (!findKeys(url).next().done) {
    throw new MalformedKey("A key stands in the address, where logs and histories keep it.", "key_in_address");
  }
  // URL leaves the default port out and writes the host in lower case; path and query stay as fetch sends them.
  const { host, pathname, search } = new URL(url);
  const query = search || "?";
  return [
    ["@method", method.toUpperCase()],
    ["@authority", host],
    ["@path", pathname || "/"],
    ["@query", query],
  ];
}
