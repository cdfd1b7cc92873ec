import assert from "node:assert/strict";
import { test } from "node:test";

import { NonceStoreUnavailable, type SendCommand, ValkeyNonces } from "../src/index.js";

const NOW = 1_790_000_000;
const INFO = "redis_version:7.2.4\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n";

/** A server that says what a test has it say, and remembers what it was sent. */
function serving(answers: Record<string, unknown>): { send: SendCommand; sent: string[][] } {
  const sent: string[][] = [];
  const send: SendCommand = async (command) => {
    sent.push(command);
    const answer = answers[command[0]!];
    const said: unknown = typeof answer === "function" ? answer(command) : answer;
    if (said instanceof Error) throw said;
    return said;
  };
  return { send, sent };
}

async function spend(send: SendCommand): Promise<boolean | string> {
  try {
    return await new ValkeyNonces(send).spend("k", "n", { created: NOW, now: NOW + 0.5 });
  } catch (error) {
    assert.ok(error instanceof NonceStoreUnavailable);
    return error.code;
  }
}

test("only the answers of the script are answers, and everything else is not known", async () => {
  for (const [answer, wanted] of [
    [1, true], [0, false], [-1, "nonce_store_young"], [-2, "nonce_store_unavailable"], ["1", "nonce_store_unavailable"],
    [[1], "nonce_store_unavailable"], [undefined, "nonce_store_unavailable"], [true, "nonce_store_unavailable"],
    [new Error("away"), "nonce_store_unavailable"], [new Error("OOM command not allowed"), "nonce_store_unavailable"],
  ] as const) {
    assert.equal(await spend(serving({ INFO, EVALSHA: answer }).send), wanted);
  }
});

test("a server that evicts, is too old, or says nothing of it is not believed", async () => {
  const evicting = INFO.replace("maxmemory:0", "maxmemory:1000000");
  assert.equal(await spend(serving({ INFO: evicting.replace("allkeys-lru", "noeviction"), EVALSHA: 1 }).send), true);
  for (const info of [evicting, INFO.replace("7.2.4", "6.2.0"), "", undefined, "redis_version:7.0.0", "maxmemory:0", new Error("no")]) {
    const { send, sent } = serving({ INFO: info, EVALSHA: 1 });
    assert.equal(await spend(send), "nonce_store_unavailable");
    assert.equal(sent.length, 1);
  }
});

test("a lost script is loaded only behind a new marker, once for all who wait", async () => {
  let isLoaded = false;
  const { send, sent } = serving({
    INFO,
    EVALSHA: () => (isLoaded ? 1 : new Error("NOSCRIPT No matching script.")),
    EVAL: 1,
    SCRIPT: () => ((isLoaded = true), "sha"),
  });
  const store = new ValkeyNonces(send);
  const all = await Promise.all(["a", "b"].map((nonce) => store.spend("k", nonce, { created: NOW, now: NOW })));
  assert.deepEqual(all, [true, true]);
  assert.deepEqual(sent.map(([word]) => word).filter((word) => word !== "INFO"), ["EVALSHA", "EVALSHA", "EVAL", "SCRIPT", "EVALSHA", "EVALSHA"]);
  isLoaded = false;
  const { send: refusing } = serving({ INFO, EVALSHA: new Error("NOSCRIPT"), EVAL: new Error("READONLY") });
  assert.equal(await spend(refusing), "nonce_store_unavailable");
});
