import assert from "node:assert/strict";
import cluster from "node:cluster";
import { once } from "node:events";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";

import { MemoryNonces, NonceStoreUnavailable } from "../src/index.js";
import { DOUBT_SECONDS, KEPT_SECONDS } from "../src/nonces.js";
import { remembering } from "./signing.js";

const [KID, NOW] = ["8nbmcDHypESyDn", 1_790_000_000];
const N = "n".repeat(22);

function spend(nonces: MemoryNonces, nonce = N, { kid = KID, created = NOW, now = NOW } = {}): boolean | string {
  try {
    return nonces.spend(kid, nonce, { created, now });
  } catch (error) {
    assert.ok(error instanceof NonceStoreUnavailable);
    return error.code;
  }
}

test("a nonce is accepted once for its key", () => {
  const nonces = remembering(NOW * 1000);
  const told = [spend(nonces), spend(nonces), spend(nonces, N, { kid: "kKQe7vWcYzRrTb" }), spend(nonces, N, { created: NOW + 5 })];
  assert.deepEqual(told, [true, false, true, false]);
});

test("it is remembered for longer than any window lasts", () => {
  const nonces = remembering(NOW * 1000);
  assert.equal(spend(nonces), true);
  for (const later of [1, 59.9, 60, 119.9, 125, KEPT_SECONDS - 0.1]) assert.equal(spend(nonces, N, { now: NOW + later }), false);
});

test("what was forgotten is never new again, whatever the clock says", () => {
  const nonces = remembering(NOW * 1000);
  assert.equal(spend(nonces), true);
  assert.equal(spend(nonces, "m".repeat(22), { created: NOW + 150, now: NOW + KEPT_SECONDS }), true);
  assert.equal(nonces.size, 1, "and is no burden any more");
  for (const now of [NOW + KEPT_SECONDS, NOW + 30, NOW]) assert.equal(spend(nonces, N, { now }), "nonce_store_young");
});

test("what may have been accepted before it was made is refused", () => {
  const nonces = new MemoryNonces();
  assert.equal(spend(nonces, N, { created: NOW + DOUBT_SECONDS - 1 }), "nonce_store_young");
  assert.equal(spend(nonces, N, { created: NOW + DOUBT_SECONDS - 1, now: NOW + 30 }), "nonce_store_young");
  assert.equal(spend(nonces, N, { created: NOW + DOUBT_SECONDS + 1 }), true);
  assert.equal(spend(nonces, N, { created: Number.NaN }), "nonce_store_young");
});

test("a full one refuses and forgets nothing", () => {
  const nonces = remembering(NOW * 1000, { most: 3 });
  const three = ["0", "1", "2"].map((each) => each.repeat(22));
  assert.deepEqual(three.map((each) => spend(nonces, each)), [true, true, true]);
  assert.equal(spend(nonces), "nonce_store_full");
  assert.deepEqual(three.map((each) => spend(nonces, each)), [false, false, false]);
  assert.equal(spend(nonces, N, { created: NOW + KEPT_SECONDS, now: NOW + KEPT_SECONDS }), true, "there is room when they are of no use");
});

test("a worker of a cluster, which does not know its siblings, cannot have a memory", async () => {
  cluster.setupPrimary({ exec: fileURLToPath(new URL("clusterWorker.js", import.meta.url)) });
  const [said] = await once(cluster.fork(), "message");
  assert.equal(said, "nonce_store_forked");
});

test("nor can a thread beside the main one, in which every other would accept the same once more", async () => {
  const worker = new Worker(new URL("threadWorker.js", import.meta.url));
  const [said] = await once(worker, "message");
  assert.equal(said, "nonce_store_forked");
  await worker.terminate();
});
