import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { text as textOf } from "node:stream/consumers";
import { test } from "node:test";

// @ts-expect-error -- it brings no types, and these few lines need none
import express from "express";

import { type Deciding, LocalVerifier, protect, Refused, signedFetch, type SignedRequest, Unsafe, type Verdict, verdictOf } from "../src/index.js";
import { MOST_BODY } from "../src/arrivals.js";
import { refusal } from "../src/verdicts.js";
import { vectors } from "./fakeKeystead.js";
import { believing, judged, pairOf, remembering, stateOf } from "./signing.js";
import { POLICY } from "./fakeFeed.js";

const KEY: string = vectors("key_text").valid[8].text;
const YES = { valid: true, status: 200, kid: "k", scopes: new Set(["orders:read"]) } as unknown as Verdict;

async function serving<T>(listener: RequestListener, run: (url: string, port: number) => Promise<T>): Promise<T> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = server.address() as AddressInfo;
    return await run(`http://127.0.0.1:${port}`, port);
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

function ask(answer: Verdict | Error, path: string, headers: [string, string][], onTrouble?: (error: unknown) => void): Promise<Response> {
  const verify = async (): Promise<Verdict> => {
    if (answer instanceof Error) throw answer;
    return answer;
  };
  const guard = protect({ verify }, onTrouble && { onTrouble }).require("orders:read");
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    void guard(request, response, () => response.end(verdictOf(request).kid));
  };
  return serving(listener, async (url) => {
    const sent = await fetch(url + path, { headers });
    await sent.clone().text();
    return sent;
  });
}

const BEARER: [string, string][] = [["Authorization", `Bearer ${KEY}`]];

test("the one who may", async () => {
  const answer = await ask(YES, "/orders", BEARER);
  assert.deepEqual([answer.status, await answer.text()], [200, "k"]);
});

test("the one who may not, the stranger, and what cannot be read", async () => {
  for (const [verdict, path, headers, status, code] of [
    [refusal("scope"), "/", BEARER, 403, "scope"],
    [refusal("expired"), "/", BEARER, 401, "expired"],
    [refusal("stale"), "/", BEARER, 503, "stale"],
    [new Refused("no", "insufficient_scope", 403), "/", BEARER, 503, "verifier_misconfigured"],
    [YES, "/", [], 401, "key_missing"],
    [YES, `/?key=${KEY}`, BEARER, 400, "key_in_address"],
  ] as const) {
    const answer = await ask(verdict, path, [...headers] as [string, string][]);
    const said = (await answer.json()) as { code: string };
    assert.deepEqual([answer.status, said.code], [status, code]);
    assert.ok(!JSON.stringify(said).includes(KEY));
    assert.equal(answer.headers.get("www-authenticate") !== null, status === 401 || code === "scope");
  }
});

test("who shows a key in the wrong place is told the right one", async () => {
  for (const [path, words] of [["/", "Authorization: Bearer"], [`/?key=${KEY}`, "in the address"]] as const) {
    const said = (await (await ask(YES, path, [])).json()) as { title: string };
    assert.ok(said.title.includes(words), said.title);
  }
});

test("a credential that may not ask is told of to the service", async () => {
  const heard: unknown[] = [];
  const error = new Refused("no", "invalid_token", 401);
  assert.equal((await ask(error, "/", BEARER, (trouble) => heard.push(trouble))).status, 503);
  assert.deepEqual(heard, [error]);
});

const KID = "a".repeat(14);
const PAIR = pairOf(KID);
const HELD = { kid: KID, public_key: PAIR.publicKey.toString("base64url"), policy: POLICY, retires: false, ends_at: Date.now() + 3_600_000, warned: null };

interface Seen extends IncomingMessage {
  readonly body: unknown;
  readonly query: unknown;
}

interface Answering {
  json(value: unknown): void;
}

/** Checks what is signed as a LocalVerifier does, and remembers what it was asked about. */
function checking(asked: SignedRequest[] = []): Deciding {
  const [state, nonces] = [stateOf([HELD]), remembering(Date.now())];
  return {
    verify: () => refusal("unknown"),
    verifySignature: async (request, wanted) => (asked.push(request), (await judged(request, believing(state, Date.now()), nonces, wanted)).verdict),
  };
}

test("a signed request gets in once, and its body is there for whoever comes next", async () => {
  const asked: SignedRequest[] = [];
  const keystead = protect(checking(asked));
  const app = express();
  const [guard, router] = [keystead.require("orders:read"), express.Router()];
  app.use("/v1", router); // what is served by a router is signed with its whole address
  router.post("/json", guard, express.json(), (request: Seen, response: Answering) => response.json([request.body, verdictOf(request).kid]));
  router.post("/later", guard, (request: Seen, response: Answering) => {
    setTimeout(() => void textOf(request).then((text) => response.json([text, verdictOf(request).kid])), 5);
  });
  router.get("/json", guard, (request: Seen, response: Answering) => response.json([request.query, verdictOf(request).kid]));
  router.post("/late", express.json(), guard, (_: Seen, response: Answering) => response.json("never"));
  await serving(app, async (url) => {
    const send = signedFetch(PAIR.signer);
    const headers = { "Content-Type": "application/json" };
    const large = JSON.stringify({ text: "x".repeat(3_000_000) });
    assert.deepEqual(await (await send(`${url}/v1/json`, { method: "POST", headers, body: '{"a":1}' })).json(), [{ a: 1 }, KID]);
    assert.deepEqual(await (await send(`${url}/v1/later`, { method: "POST", headers, body: large })).json(), [large, KID]);
    assert.deepEqual(await (await send(`${url}/v1/json?b=2&a=%20`)).json(), [{ b: "2", a: " " }, KID]);
    assert.deepEqual(asked.map(({ path, query, body }) => [path, query, body?.length]), [["/v1/json", "", 7], ["/v1/later", "", large.length], ["/v1/json", "b=2&a=%20", 0]]);
    // In pieces whose number nobody told.
    const body = '{"a":1}';
    const signed = PAIR.signer.sign("POST", `${url}/v1/json`, { body, contentType: "application/json" });
    const pieces = (): ReadableStream => new Blob([body]).stream();
    const sent = { method: "POST", headers: signed, duplex: "half" } as const;
    assert.deepEqual(await (await fetch(`${url}/v1/json`, { ...sent, body: pieces() })).json(), [{ a: 1 }, KID]);
    const again = await fetch(`${url}/v1/json`, { ...sent, body: pieces() });
    const problem = (await again.json()) as { code: string; server_time: number };
    assert.deepEqual([again.status, problem.code], [401, "replay"]);
    assert.ok(Math.abs(problem.server_time - Date.now() / 1000) < 60, "to set a clock by");
    for (const [path, came, code] of [["json", '{"a":2}', "signature_malformed"], ["later", body, "signature_invalid"]] as const) {
      const fresh = PAIR.signer.sign("POST", `${url}/v1/json`, { body, contentType: "application/json" });
      const refused = await fetch(`${url}/v1/${path}`, { method: "POST", headers: fresh, body: came });
      const said = (await refused.json()) as { code: string; fault?: string };
      assert.deepEqual([refused.status, said.code], [401, code]);
      assert.equal(said.fault, code === "signature_malformed" ? "digest_mismatch" : undefined);
    }
    const late = await send(`${url}/v1/late`, { method: "POST", headers, body });
    assert.deepEqual([late.status, ((await late.json()) as { code: string }).code], [503, "body_already_read"]);
  });
});

test("a signature and a key at once, a signature nobody checks, and one where nobody remembers nonces", async () => {
  const forgetful = new LocalVerifier({ url: "http://localhost:1", credential: KEY });
  const away: Deciding = { verify: () => refusal("unknown"), verifySignature: () => Promise.reject(new Refused("no", "insufficient_scope", 403)) };
  const misused: Deciding = { verify: () => refusal("unknown"), verifySignature: () => Promise.reject(new Unsafe("no", "unsafe")) };
  for (const [verifier, headers, status, code] of [
    [checking(), { Authorization: `Bearer ${KEY}` }, 400, "header_repeated"],
    [{ verify: () => refusal("unknown") }, {}, 401, "signature_invalid"],
    [forgetful, {}, 401, "not_in_process"],
    [away, {}, 503, "verifier_misconfigured"],
    [misused, {}, 503, "verifier_misconfigured"],
  ] as const) {
    const guard = protect(verifier).require();
    await serving((request, response) => void guard(request, response, () => response.end("in")), async (url) => {
      const answer = await signedFetch(PAIR.signer)(url, { headers });
      assert.deepEqual([answer.status, ((await answer.json()) as { code: string }).code], [status, code]);
    });
  }
});

test("a body is read no further than it is checked, and one that never comes holds nobody", async () => {
  const asked: SignedRequest[] = [];
  const guard = protect(checking(asked)).require();
  const heard: string[] = [];
  const listener: RequestListener = (request, response) => {
    const guarded = (): Promise<unknown> => guard(request, response, () => response.end("in")).then(() => heard.push("done"));
    if (request.url === "/gone") request.on("error", () => undefined).on("close", () => setImmediate(guarded));
    else void guarded();
  };
  await serving(listener, async (_, port) => {
    const said = (headers: string, body: Buffer | string, path = "/"): Promise<string> =>
      new Promise((resolve) => {
        const socket = connect(port, "127.0.0.1");
        let text = "";
        socket.on("data", (part) => (text += part)).on("error", () => undefined).on("close", () => resolve(text));
        socket.write(`POST ${path} HTTP/1.1\r\nHost: x\r\nSignature: x\r\n${headers}\r\n\r\n`);
        socket.write(body);
        if (body === "abc") setTimeout(() => socket.destroy(), 20);
      });
    const piece = Buffer.concat([Buffer.from(`${(MOST_BODY + 1).toString(16)}\r\n`), Buffer.alloc(MOST_BODY + 1)]);
    for (const [headers, body] of [[`Content-Length: ${MOST_BODY + 1}`, ""], ["Transfer-Encoding: chunked", piece]] as const) {
      const answer = await said(headers, body);
      assert.match(answer, /^HTTP\/1.1 413 /);
      assert.match(answer, /\r\nConnection: close\r\n[^]*"code":"body_too_large"/);
    }
    for (const path of ["/", "/gone"]) assert.equal(await said("Content-Length: 10", "abc", path), "");
    for (let turn = 0; heard.length < 4; turn++) {
      assert.ok(turn < 4000, "somebody waits for a body that will not come");
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.deepEqual(asked, []);
  });
});

test("what something else answered meanwhile is not answered again", async () => {
  let decide: (verdict: Verdict) => void = () => undefined;
  const guard = protect({ verify: () => new Promise<Verdict>((resolve) => (decide = resolve)) }).require("orders:read");
  let guarded: Promise<void> | undefined;
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    guarded = guard(request, response, () => undefined);
    response.writeHead(504).end("too late");
  };
  const answer = await serving(listener, (url) => fetch(url, { headers: BEARER }));
  decide(refusal("unavailable"));
  await guarded;
  assert.equal(answer.status, 504);
});
