import assert from "node:assert/strict";
import { createPrivateKey } from "node:crypto";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import { digest, LocalVerifier, MemoryNonces, type NonceStore, Signer, type Verdict } from "../src/index.js";
import { FakeFeed, POLICY, record, signerRecord, signing, version } from "./fakeFeed.js";
import { PATIENCE, type FakeKeystead, until, vectors, withKeystead } from "./fakeKeystead.js";
import { believing, judged, pairOf, remembering, signed, stateOf } from "./signing.js";

const KEYS: string[] = vectors("key_text").valid.map(({ text }: { text: string }) => text);
const [KID, OTHER] = ["a".repeat(14), "b".repeat(14)];
const PAIR = pairOf(KID);
const NOW = Date.now();
const HELD = { kid: KID, public_key: PAIR.publicKey.toString("base64url"), policy: POLICY, retires: false, ends_at: NOW + 3_600_000, warned: null };

async function following(run: (verifier: LocalVerifier, feed: FakeFeed, keystead: FakeKeystead) => Promise<void>, nonces?: NonceStore): Promise<void> {
  await withKeystead(async (keystead) => {
    const feed = new FakeFeed().at(keystead);
    feed.renewMs = 20;
    feed.records = [record(KEYS[0]!, "c".repeat(14))];
    feed.signers = [signerRecord(PAIR.publicKey, KID), signerRecord(Buffer.alloc(32, 7), OTHER)];
    const verifier = new LocalVerifier({ url: keystead.url, timeout: PATIENCE, credential: KEYS[6]!, name: "tests", ...(nonces === undefined ? {} : { nonces }) });
    try {
      await verifier.start();
      await run(verifier, feed, keystead);
    } finally {
      await verifier.close();
    }
  });
}

function reason(verdict: Verdict): string {
  return verdict.valid ? "valid" : verdict.reason;
}

test("a request is accepted once, and its use is told", async () => {
  let uses: FakeFeed["uses"] = [];
  await following(async (verifier, feed) => {
    uses = feed.uses;
    const request = signed(PAIR.signer);
    const verdict = await verifier.verifySignature(request, { scopes: ["orders:read"] });
    assert.ok(verdict.valid);
    assert.deepEqual([verdict.kid, verdict.ownerTeam, verdict.service], [KID, "reporting", "orders"]);
    const again = await verifier.verifySignature(request, { scopes: ["orders:read"] });
    assert.ok(!again.valid);
    assert.deepEqual([again.reason, again.status], ["replay", 401]);
    assert.ok(Math.abs(again.serverTime! - Date.now() / 1000) < 60);
    assert.equal(reason(await verifier.verifySignature(signed(PAIR.signer), { scopes: ["orders:write"] })), "scope");
    assert.equal(reason(await verifier.verifySignature(signed(Signer.hmac(KEYS[0]!)))), "not_in_process");
  }, remembering(NOW));
  const told = uses.map(({ kid, outcome, count }) => `${kid} ${outcome} ${count}`).sort();
  assert.deepEqual(told, [`${KID} replay 1`, `${KID} scope 1`, `${KID} valid 1`]);
});

test("a pair with limits is held to them, and a replay uses nothing up", () =>
  following(async (verifier, feed) => {
    const said = async (request = signed(PAIR.signer)): Promise<string> => reason(await verifier.verifySignature(request));
    const position = feed.change([], [], "k-1", [signing(PAIR.publicKey, KID, { policy: { ...POLICY, limits: { requests_per_day: 2 } } })]);
    await until(() => feed.applied.includes(position));
    const request = signed(PAIR.signer);
    assert.deepEqual([await said(request), await said(request), await said(), await said()], ["valid", "replay", "valid", "quota"]);
  }, remembering(NOW)));

test("of many at once one is accepted, also where the store takes its time", async () => {
  const memory = remembering(NOW);
  const slow: NonceStore = { spend: async (...spent) => (await pause(2), memory.spend(...spent)) };
  for (const nonces of [remembering(NOW), slow]) {
    const [request, belief] = [signed(PAIR.signer), believing(stateOf([HELD]), Date.now())];
    const all = await Promise.all(Array.from({ length: 50 }, () => judged(request, belief, nonces)));
    assert.deepEqual(all.map(({ said }) => said).sort(), [...Array(49).fill("replay"), "valid"]);
  }
});

test("a revoked key signs nothing any more, and a new one does", () =>
  following(async (verifier, feed) => {
    const said = async (scopes: string[] = []): Promise<string> => reason(await verifier.verifySignature(signed(PAIR.signer), { scopes }));
    const applied = (position: string): Promise<void> => until(() => feed.applied.includes(position));
    assert.equal(await said(), "valid");
    await applied(feed.change([], [KID]));
    assert.equal(await said(), "signature_invalid");
    await applied(feed.change([], [], "k-1", [signing(PAIR.publicKey, KID, { policy: { ...POLICY, scopes: ["orders:cancel"] } })]));
    assert.deepEqual([await said(["orders:cancel"]), await said(["orders:read"])], ["valid", "scope"]);
    await applied(feed.change([], [KID]));
    assert.equal(await said(), "signature_invalid");
    await applied(feed.change([], [], "k-1", [signing(pairOf(KID).publicKey, KID)]));
    assert.equal(await said(), "signature_invalid");
    assert.equal(reason(verifier.verify(KEYS[0])), "valid");
  }, remembering(NOW)));

test("a public key is no digest of a key that is shown: whoever chooses one may choose the digest of a text that they know", () =>
  following(async (verifier, feed) => {
    const digestOf = (text: string): Buffer => Buffer.from(digest(text), "hex");
    feed.signers = [signerRecord(digestOf(KEYS[1]!), KID)];
    feed.resync = true;
    await until(async () => reason(await verifier.verifySignature(signed(PAIR.signer))) === "signature_invalid");
    const position = feed.change([], [], "k-2", [signing(digestOf(KEYS[2]!), OTHER)]);
    await until(() => feed.applied.includes(position));
    for (const text of [KEYS[1], KEYS[2]]) assert.equal(reason(verifier.verify(text)), "unknown");
    assert.equal(reason(verifier.verify(KEYS[0])), "valid");
  }, remembering(NOW)));

test("a Keystead of before tells of no signers", () =>
  following(async (verifier, feed) => {
    feed.tellsOfSigners = false;
    feed.resync = true;
    await until(async () => reason(await verifier.verifySignature(signed(PAIR.signer))) === "signature_invalid");
    const position = feed.change([version(KEYS[3]!, "d".repeat(14))], []);
    await until(() => feed.applied.includes(position));
    assert.equal(reason(verifier.verify(KEYS[3])), "valid");
  }, remembering(NOW)));

test("without a store of nonces no signature is checked, and without a lease all is stale", async () => {
  await following(async (verifier) => {
    await assert.rejects(verifier.verifySignature(signed(PAIR.signer)), { name: "Unsafe", code: "no_nonce_store" });
  });
  const away = new LocalVerifier({ url: "http://localhost:1", credential: KEYS[6]!, nonces: new MemoryNonces() });
  assert.equal(reason(await away.verifySignature(signed(PAIR.signer))), "stale");
});

test("only a clear yes of the store is one", async () => {
  const [belief, created] = [believing(stateOf([HELD]), NOW, { left: 20 }), Math.floor(NOW / 1000)];
  for (const [outcome, said, fault] of [
    [undefined, "replay", ""], [1, "replay", ""], ["OK", "replay", ""], [Promise.resolve("OK"), "replay", ""],
    [new Error("away"), "unavailable", "nonce_store_unavailable"],
    [Promise.reject(new TypeError("away")), "unavailable", "nonce_store_unavailable"],
    [new Promise(() => undefined), "unavailable", "nonce_store_unavailable"], // and it is not waited for without end
    [Promise.resolve(true), "valid", ""],
  ] as const) {
    const spend = (): never => {
      if (outcome instanceof Error) throw outcome;
      return outcome as never;
    };
    const verdict = await judged(signed(PAIR.signer, { created }), belief, { spend });
    assert.deepEqual([verdict.said, verdict.fault], [said, fault]);
  }
  const young = await judged(signed(PAIR.signer, { created }), belief, new MemoryNonces());
  assert.deepEqual([young.said, young.fault], ["unavailable", "nonce_store_young"]);
});

test("a store that outlasts the lease is answered too late, also when the lease was renewed meanwhile", async () => {
  let left = 1000;
  const request = signed(PAIR.signer);
  const { state, lease } = believing(stateOf([HELD]), Date.now());
  const belief = { state, lease: { now: lease.now, earliest: lease.earliest, get left() { return left; } } };
  const verdict = await judged(request, belief, { spend: () => ((left = 0), true) });
  assert.equal(verdict.said, "stale");
});

test("what is applied while the store is asked counts: whoever stopped the key was answered as soon as that was confirmed", async () => {
  for (const [gone, signers, wanted] of [
    [[OTHER], [], "valid"],
    [[], [signing(PAIR.publicKey, KID)], "valid"],
    [[KID], [], "signature_invalid"],
    [[], [signing(PAIR.publicKey, KID, { policy: { ...POLICY, scopes: ["orders:cancel"] } })], "scope"],
    [[], [signing(pairOf(KID).publicKey, KID)], "signature_invalid"],
  ] as const) {
    let meanwhile = async (): Promise<void> => undefined;
    const store: NonceStore = { spend: async () => (await meanwhile(), true) };
    await following(async (verifier, feed) => {
      meanwhile = async () => {
        const position = feed.change([], [...gone], "k-1", [...signers]);
        await until(() => feed.applied.includes(position));
      };
      assert.equal(reason(await verifier.verifySignature(signed(PAIR.signer), { scopes: ["orders:read"] })), wanted);
    }, store);
  }
});

test("whoever waited while all was fetched anew, or until it was closed, is told nothing of before", async () => {
  for (const ends of [false, true]) {
    let meanwhile = async (): Promise<void> => undefined;
    const store: NonceStore = { spend: async () => (await meanwhile(), true) };
    await following(async (verifier, feed, keystead) => {
      meanwhile = async () => {
        const before = keystead.asked.filter(({ path }) => path === "/v1/snapshot").length;
        if (ends) return verifier.close();
        feed.resync = true;
        await until(() => keystead.asked.filter(({ path }) => path === "/v1/snapshot").length > before && verifier.lease > 0);
      };
      assert.equal(reason(await verifier.verifySignature(signed(PAIR.signer))), "stale");
    }, store);
  }
});

test("a key that ends while the store is asked is over", async () => {
  let now = NOW;
  const { state, lease } = believing(stateOf([{ ...HELD, ends_at: NOW + 300 }]), NOW);
  const belief = { state, lease: { left: lease.left, earliest: NOW, get now() { return now; } } };
  const request = signed(PAIR.signer, { created: Math.floor(NOW / 1000) });
  const verdict = await judged(request, belief, { spend: () => ((now += 300), true) });
  assert.equal(verdict.said, "expired");
});

test("a clock that was asked slowly accepts nothing from the future", async () => {
  // What is accepted was never signed more than five seconds after Keystead's own time, however long it took to hear of it.
  const created = Math.floor(NOW / 1000) + 4;
  for (const [ahead, said] of [[0, "valid"], [3000, "signature_in_future"]] as const) {
    const verdict = await judged(signed(PAIR.signer, { created }), believing(stateOf([HELD]), NOW, { ahead }), remembering(NOW));
    assert.equal(verdict.said, said);
  }
});

test("a refused request spends no nonce, and who holds no key is told the same whatever it is", async () => {
  const [asked, belief] = [[] as string[], believing(stateOf([HELD]), NOW)];
  const nonces: NonceStore = { spend: (_, nonce) => (asked.push(nonce), true) };
  const created = Math.floor(NOW / 1000);
  const [stranger, other] = [pairOf(KID).signer, pairOf("z".repeat(14)).signer];
  // Also one whose window or scope would be refused, which would say that there is such a key.
  for (const signer of [stranger, other]) {
    for (const more of [{ created }, { created: created - 90 }]) {
      const verdict = await judged(signed(signer, more), belief, nonces, { scopes: ["orders:write"] });
      assert.deepEqual([verdict.said, verdict.fault], ["signature_invalid", ""]);
    }
  }
  assert.equal((await judged(signed(PAIR.signer, { created: created - 90 }), belief, nonces)).said, "signature_expired");
  assert.equal((await judged(signed(PAIR.signer, { created }), belief, nonces, { scopes: ["orders:write"] })).said, "scope");
  assert.deepEqual(asked, []);
});

test("who names a kid of nobody waits as long as who names another's, and gets in with no key that is known", async () => {
  const [belief, created] = [believing(stateOf([HELD]), NOW), Math.floor(NOW / 1000)];
  const asked = async (kid: string): Promise<number> => {
    const requests = Array.from({ length: 150 }, () => signed(pairOf(kid).signer, { created }));
    const began = process.cpuUsage();
    for (const request of requests) assert.equal((await judged(request, belief, remembering(NOW))).said, "signature_invalid");
    return process.cpuUsage(began).user;
  };
  const [nobody, another] = [await asked("z".repeat(14)), await asked(KID)];
  assert.ok(nobody > another / 3, `${nobody} and ${another} microseconds`);
  // What stands in for a key that is not there is the second of RFC 8032, whose private half anybody can read.
  const seed = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
  const key = createPrivateKey({ key: Buffer.from(`302e020100300506032b657004220420${seed}`, "hex"), format: "der", type: "pkcs8" });
  const known = Signer.ed25519(key.export({ type: "pkcs8", format: "pem" }).toString(), { keyid: "z".repeat(14) });
  assert.equal((await judged(signed(known, { created }), belief, remembering(NOW))).said, "signature_invalid");
});
