/** Reads what a request to Node's own server presents: a key, or a signature of the request and its body. */

import type { IncomingMessage } from "node:http";
import { TLSSocket } from "node:tls";

import { COVERED_HEADERS } from "./signatureProfile.js";
import type { SignedRequest } from "./signedRequests.js";

export const MOST_BODY = 10 * 1024 * 1024;

/** Why the body of a request is not there to be checked. */
export type NoBody = "body_too_large" | "body_already_read" | "body_cut";

/** The address as it stood on the wire; a framework that serves only a part of it may show a router less. */
export function addressOf(request: IncomingMessage): string {
  const whole = (request as IncomingMessage & { readonly originalUrl?: unknown }).originalUrl;
  return typeof whole === "string" ? whole : (request.url ?? "");
}

/** Whether it carries a signature of RFC 9421. */
export function isSigned({ headersDistinct }: IncomingMessage): boolean {
  return headersDistinct["signature-input"] !== undefined || headersDistinct["signature"] !== undefined;
}

/** The signed request, with what was received of its body. */
export function signedRequest(request: IncomingMessage, body: Buffer): SignedRequest {
  const address = addressOf(request);
  const mark = address.indexOf("?");
  const hosts = request.headersDistinct["host"] ?? [];
  return {
    method: request.method ?? "",
    scheme: request.socket instanceof TLSSocket ? "https" : "http",
    authority: hosts.length === 1 ? (hosts[0] as string) : "",
    path: mark < 0 ? address : address.slice(0, mark),
    query: mark < 0 ? "" : address.slice(mark + 1),
    headers: Object.fromEntries(COVERED_HEADERS.map((name) => [name, request.headersDistinct[name]])),
    body,
  };
}

/** Reads the body and puts it back, so that whoever comes next reads it as if nobody had. */
export async function bodyOf(request: IncomingMessage): Promise<Buffer | NoBody> {
  const { "content-length": length, "transfer-encoding": encoding } = request.headers;
  if (encoding === undefined && (length === undefined || Number(length) === 0)) return Buffer.alloc(0);
  if (Number(length) > MOST_BODY) return "body_too_large";
  if (request.readableDidRead || request.readableEnded) return "body_already_read";
  if (request.destroyed) return "body_cut"; // it has told so, and will not again
  const parts: Buffer[] = [];
  return new Promise((resolve) => {
    let size = 0;
    const settle = (outcome: Buffer | NoBody): void => {
      request.off("readable", read).off("error", cut).off("close", cut);
      resolve(outcome);
    };
    const cut = (): void => settle("body_cut");
    const read = (): void => {
      for (let part: Buffer | null; (part = request.read() as Buffer | null) !== null; size += part.length) parts.push(part);
      if (size > MOST_BODY) return settle("body_too_large");
      if (!request.complete) return;
      const body = Buffer.concat(parts);
      // In the same step, before the stream tells its end: then it ends after this was read again.
      if (body.length > 0) request.unshift(body);
      settle(body);
    };
    request.on("readable", read).on("error", cut).on("close", cut);
  });
}
