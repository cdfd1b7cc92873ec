/** Protects routes of Express, or of anything that speaks Node's own request and response. */

import type { IncomingMessage, ServerResponse } from "node:http";

import { Refused } from "./errors.js";
import { findKeys } from "./keyText.js";
import { type Accepted, type Rejected, refusal, type Verdict } from "./verdicts.js";
import type { Wanted } from "./verifier.js";

const TITLES = {
  400: "This request cannot be read in one way only",
  401: "A valid API key is needed",
  403: "This API key may not do this",
  429: "This API key was used too often",
  503: "API keys cannot be verified right now; try again",
} as const;

export interface Protection {
  /** The address of the caller, behind your proxies; the socket's if nothing is said. */
  readonly clientAddress?: (request: IncomingMessage) => string | undefined;
}

/** A Verifier, or a LocalVerifier, which answers at once. */
export interface Deciding {
  verify(text: string | undefined, wanted?: Wanted): Promise<Verdict> | Verdict;
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
export function protect(verifier: Deciding, { clientAddress = socketAddress }: Protection = {}) {
  return {
    /** Lets a request in with a valid key that has all these scopes. */
    require:
      (...scopes: string[]) =>
      async (request: IncomingMessage, response: ServerResponse, next: Next): Promise<void> => {
        const verdict = await decide(verifier, request, scopes, clientAddress(request));
        if (verdict === "key_missing") return refuse(response, 401, verdict, 'Bearer realm="api"');
        if (typeof verdict === "string") return refuse(response, 400, verdict);
        if (!verdict.valid) return refuse(response, verdict.status, verdict.reason, challengeOf(verdict, scopes));
        verdicts.set(request, verdict);
        next();
      },
  };
}

async function decide(
  verifier: Deciding,
  request: IncomingMessage,
  scopes: string[],
  address: string | undefined,
): Promise<Verdict | "header_repeated" | "key_in_address" | "key_missing"> {
  const authorization = request.headersDistinct["authorization"] ?? [];
  if (authorization.length > 1) return "header_repeated";
  // Keys in addresses end up in logs and histories.
  if (!findKeys(unescaped(request.url ?? "")).next().done) return "key_in_address";
  const [scheme, token] = (authorization[0] ?? "").trim().split(/ +/, 2);
  if (scheme === "") return "key_missing";
  const client = { ...(address === undefined ? {} : { address }), userAgent: request.headers["user-agent"] ?? "" };
  const wanted: Wanted = { scopes, client, ...(request.method === undefined ? {} : { method: request.method }) };
  try {
    return await verifier.verify(scheme?.toLowerCase() === "bearer" ? token : undefined, wanted);
  } catch (error) {
    // The service's own credential is wrong: nobody's key is to blame, and nobody gets in.
    if (error instanceof Refused) return refusal("unavailable");
    throw error;
  }
}

function challengeOf(verdict: Rejected, scopes: string[]): string | undefined {
  if (verdict.status === 401) return 'Bearer realm="api", error="invalid_token"';
  if (verdict.reason === "scope") return `Bearer realm="api", error="insufficient_scope", scope="${scopes.join(" ")}"`;
  return undefined;
}

/** Writes a problem (RFC 9457); nothing of what was sent comes back. */
function refuse(response: ServerResponse, status: keyof typeof TITLES, code: string, challenge?: string): void {
  response.writeHead(status, {
    "Content-Type": "application/problem+json",
    "Cache-Control": "no-store",
    ...(challenge === undefined ? {} : { "WWW-Authenticate": challenge }),
    ...(status === 429 || status === 503 ? { "Retry-After": "1" } : {}),
  });
  response.end(JSON.stringify({ type: `urn:keystead:problem:${code}`, title: TITLES[status], status, code }));
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
