import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";

import { protect, Refused, type Verdict, verdictOf } from "../src/index.js";
import { refusal } from "../src/verdicts.js";
import { vectors } from "./fakeKeystead.js";

const KEY: string = vectors("key_text").valid[8].text;
const YES = { valid: true, status: 200, kid: "k", scopes: new Set(["orders:read"]) } as unknown as Verdict;

async function ask(answer: Verdict | Error, path: string, headers: [string, string][]): Promise<Response> {
  const verify = async (): Promise<Verdict> => {
    if (answer instanceof Error) throw answer;
    return answer;
  };
  const guard = protect({ verify }).require("orders:read");
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    void guard(request, response, () => response.end(verdictOf(request).kid));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const sent = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`, { headers });
    await sent.clone().text();
    return sent;
  } finally {
    server.close();
    server.closeAllConnections();
  }
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
    [new Refused("no", "insufficient_scope", 403), "/", BEARER, 503, "unavailable"],
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
