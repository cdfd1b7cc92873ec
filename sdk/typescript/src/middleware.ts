/** Protects routes of Express, or of anything that speaks Node's own request and response. */

import type { IncomingMessage, ServerResponse } from "node:http";

import { addressOf, bodyOf, isSigned, type NoBody, signedRequest } from "./arrivals.js";
import { KeysteadError } from "./errors.js";
import { findKeys } from "./keyText.js";
import { NO_NONCES } from "./localVerifier.js";
import type { SignedRequest } from "./signedRequests.js";
import { type Accepted, type Rejected, refusal, type Verdict } from "./verdicts.js";
import type { Wanted } from "./verifier.js";

const TITLES = {
  400: "This request cannot be read in one way only",
  401: "A valid API key is needed",
  403: "This API key may not do this",
  413: "The body is too large to be checked",
  429: "This API key was used too often",
  503: "API keys cannot be verified right now; try again",
} as const;
const TITLES_OF_CODES: Readonly<Record<string, string>> = {
  key_in_address: "A key stands in the address, where it ends up in logs: send it as Authorization: Bearer, and have it replaced",
  key_missing: "A valid API key is needed, as Authorization: Bearer",
};

export interface Protection {
  /** The address of the caller, behind your proxies; the socket's if nothing is said. */
  readonly clientAddress?: (request: IncomingMessage) => string | undefined;
  /** Hears why Keystead refused the service itself, such as for a credential that ended: callers only get 503. */
  readonly onTrouble?: (error: unknown) => void;
}

/** A Verifier, or a LocalVerifier, which answers at once. One that checks no signatures lets nobody in who signs. */
export interface Deciding {
  verify(text: string | undefined, wanted?: Wanted): Promise<Verdict> | Verdict;
  verifySignature?(request: SignedRequest, wanted?: Omit<Wanted, "method">): Promise<Verdict>;
}

type Next = (error?: unknown) => void;
const verdicts = new WeakMap<IncomingMessage, Accepted>();

/** The verdict about a request that a protected route received. */
export function verdictOf(request: IncomingMessage): Accepted {
  const verdict = verdicts.get(request);
  if (verdict === undefined) throw new RangeError("this route is not protected by protect()");
  return verdict;
}

/** `const { require } = protect(verifier)`, then `app.get("/orders", require("orders:read"), handler)`. */
export function protect(verifier: Deciding, { clientAddress = socketAddress, onTrouble = () => undefined }: Protection = {}) {
  return {
    /** Lets a request in with a valid key that has all these scopes. */
    require:
      (...scopes: string[]) =>
      async (request: IncomingMessage, response: ServerResponse, next: Next): Promise<void> => {
        const verdict = await decide(verifier, request, scopes, clientAddress(request), onTrouble);
        if (verdict === "body_cut") return; // there is nobody any more to answer
        if (typeof verdict === "string") {
          const [status, challenge] = UNREADABLE[verdict];
          return refuse(response, status, verdict, challenge);
        }
        if (!verdict.valid) {
          return refuse(response, verdict.status, verdict.reason, challengeOf(verdict, scopes), told(verdict));
        }
        verdicts.set(request, verdict);
        next();
      },
  };
}

type Unreadable = "header_repeated" | "key_in_address" | "key_missing" | "verifier_misconfigured" | NoBody;

const UNREADABLE: Readonly<Record<Exclude<Unreadable, "body_cut">, readonly [status: keyof typeof TITLES, challenge?: string]>> = {
  header_repeated: [400],
  key_in_address: [400],
  key_missing: [401, 'Bearer realm="api"'],
  body_too_large: [413],
  // Something stands before this that reads bodies, so signatures cannot be checked here: the service's own mistake.
  body_already_read: [503],
  verifier_misconfigured: [503],
};

async function decide(
  verifier: Deciding,
  request: IncomingMessage,
  scopes: string[],
  address: string | undefined,
  onTrouble: (error: unknown) => void,
): Promise<Verdict | Unreadable> {
  const authorization = request.headersDistinct["authorization"] ?? [];
  if (authorization.length > 1 || (authorization.length > 0 && isSigned(request))) return "header_repeated";
  // Keys in addresses end up in logs and histories.
  if (!findKeys(unescaped(addressOf(request))).next().done) return "key_in_address";
  const client = { ...(address === undefined ? {} : { address }), userAgent: request.headers["user-agent"] ?? "" };
  try {
    if (isSigned(request)) return await decideAboutSignature(verifier, request, { scopes, client });
    const [scheme, token] = (authorization[0] ?? "").trim().split(/ +/, 2);
    if (scheme === "") return "key_missing";
    const wanted: Wanted = { scopes, client, ...(request.method === undefined ? {} : { method: request.method }) };
    return await verifier.verify(scheme?.toLowerCase() === "bearer" ? token : undefined, wanted);
  } catch (error) {
    if (!(error instanceof KeysteadError)) throw error;
    // The service's own credential is wrong, or the like: nobody's key is to blame, and nobody gets in.
    try {
      onTrouble(error);
    } catch (thrown) {
      // It is somebody else's, and a rejection that nobody hears would end the process.
      process.emitWarning(`nobody was told: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
    }
    return "verifier_misconfigured";
  }
}

async function decideAboutSignature(verifier: Deciding, request: IncomingMessage, wanted: Wanted): Promise<Verdict | NoBody> {
  if (verifier.verifySignature === undefined) return refusal("signature_invalid");
  const body = await bodyOf(request);
  if (typeof body === "string") return body;
  try {
    return await verifier.verifySignature(signedRequest(request, body), wanted);
  } catch (error) {
    // A stranger's signature is no mistake of a service that wants none.
    if (error instanceof KeysteadError && error.code === NO_NONCES) return refusal("not_in_process");
    throw error;
  }
}

function challengeOf(verdict: Rejected, scopes: string[]): string | undefined {
  if (verdict.status === 401) return 'Bearer realm="api", error="invalid_token"';
  if (verdict.reason === "scope") return `Bearer realm="api", error="insufficient_scope", scope="${scopes.join(" ")}"`;
  return undefined;
}

/** What a caller who signs may mend by: our time, and what of the form, which everybody may read, was not kept. */
function told({ reason, fault, serverTime }: Rejected): object {
  return {
    ...(serverTime === undefined ? {} : { server_time: serverTime }),
    ...(reason === "signature_malformed" && fault !== undefined ? { fault } : {}),
  };
}

/** Writes a problem (RFC 9457); nothing of what was sent comes back. */
function refuse(response: ServerResponse, status: keyof typeof TITLES, code: string, challenge?: string, more: object = {}): void {
  if (response.headersSent) return; // something else answered meanwhile, such as a limit of time
  response.writeHead(status, {
    "Content-Type": "application/problem+json",
    "Cache-Control": "no-store",
    ...(challenge === undefined ? {} : { "WWW-Authenticate": challenge }),
    ...(status === 429 || status === 503 ? { "Retry-After": "1" } : {}),
    ...(status === 413 ? { Connection: "close" } : {}), // nobody reads the rest
  });
  response.end(JSON.stringify({ type: `urn:keystead:problem:${code}`, title: TITLES_OF_CODES[code] ?? TITLES[status], status, code, ...more }));
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function socketAddress(request: IncomingMessage): string | undefined {
  return request.socket.remoteAddress;
}
