/** fetch that signs; a refusal because of the clock is signed once more, by that server's time. */

import type { Signer } from "./signer.js";
import { isObject } from "./transport.js";

export interface SignedInit extends Omit<RequestInit, "body"> {
  /** A signature covers the bytes of the body, so it is given whole. */
  readonly body?: string | Uint8Array<ArrayBuffer>;
}

export function signedFetch(signer: Signer): (url: string | URL, init?: SignedInit) => Promise<Response> {
  return async (url, init = {}) => {
    const address = new URL(url);
    address.hash = "";
    const send = (): Promise<Response> => {
      const headers = new Headers(init.headers);
      const signing = {
        ...(init.body === undefined ? {} : { body: init.body }),
        contentType: headers.get("content-type") ?? (typeof init.body === "string" ? "text/plain;charset=UTF-8" : ""),
      };
      const signed = signer.sign(init.method ?? "GET", address.href, signing);
      for (const [name, value] of Object.entries(signed)) headers.set(name, value);
      return fetch(address, { ...init, headers });
    };
    const answer = await send();
    if (answer.status !== 401) return answer;
    const problem: unknown = await answer.clone().json().catch(() => undefined);
    if (!isObject(problem) || !signer.learnTime(address.href, { code: problem["code"], serverTime: problem["server_time"] })) return answer;
    return send();
  };
}
