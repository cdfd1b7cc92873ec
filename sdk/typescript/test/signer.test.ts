import assert from "node:assert/strict";
import { createPrivateKey } from "node:crypto";
import { test } from "node:test";

import { MalformedKey, signedFetch, Signer } from "../src/index.js";
import { problem, vectors, withKeystead } from "./fakeKeystead.js";

const { keys, accepted } = vectors("signed_requests");
const PKCS8 = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), Buffer.from(keys.pair.private_seed_hex, "hex")]);
const PEM = createPrivateKey({ key: PKCS8, format: "der", type: "pkcs8" }).export({ type: "pkcs8", format: "pem" }).toString();
const SIGNERS: Record<string, Signer> = {
  hmac: Signer.hmac(keys.hmac.secret),
  pair: Signer.ed25519(PEM, { keyid: keys.pair.kid }),
};

for (const { name, key, request } of accepted) {
  const url = `${request.scheme}://${request.authority}${request.path}${request.query ? `?${request.query}` : ""}`;
  // fetch resolves dots and escapes quotes before it sends; such a path never leaves Node, so it is never signed here.
  const skip = new URL(url).pathname === request.path ? false : "fetch does not send this path";
  test(`a request is signed as the vectors say: ${name}`, { skip }, () => {
    const [, created, nonce] = /created=(\d+).*nonce="([^"]+)"/.exec(request.headers["signature-input"]) ?? [];
    const signing = { body: request.body, contentType: request.headers["content-type"], created: Number(created), nonce: String(nonce) };
    const signed = SIGNERS[key]?.sign(request.method, url, signing) ?? {};
    for (const [header, value] of Object.entries(signed)) {
      assert.equal(value.trim(), request.headers[header.toLowerCase()].trim(), header);
    }
    assert.equal("Content-Digest" in signed, request.body !== "");
  });
}

test("every attempt has a nonce of its own, and keys never stand in an address", () => {
  const signatures = Array.from({ length: 50 }, () => SIGNERS["hmac"]?.sign("GET", "https://api.example.com/")["Signature"]);
  assert.equal(new Set(signatures).size, 50);
  assert.throws(() => SIGNERS["hmac"]?.sign("GET", `https://api.example.com/?key=${keys.hmac.secret}`), MalformedKey);
});

test("fetch signs what it sends and learns the time once", () =>
  withKeystead(async (keystead) => {
    const signer = Signer.hmac(keys.hmac.secret);
    const theirs = Math.floor(Date.now() / 1000) + 3600;
    keystead.on("POST /x?b=2&a=%20", ({ headers }) => {
      const created = Number(/created=(\d+)/.exec(String(headers["signature-input"]))?.[1]);
      return created < theirs - 60 ? problem("signature_expired", 401, { server_time: theirs }) : [200, {}];
    });
    const send = signedFetch(signer);
    for (let attempt = 0; attempt < 2; attempt++) {
      assert.equal((await send(`${keystead.url}/x?b=2&a=%20`, { method: "POST", body: '{"a":1}' })).status, 200);
    }
    assert.equal(keystead.asked.length, 3);
    for (const { headers, body } of keystead.asked) {
      const [, created, nonce] = /created=(\d+).*nonce="([^"]+)"/.exec(String(headers["signature-input"])) ?? [];
      const contentType = String(headers["content-type"]);
      const again = signer.sign("POST", `${keystead.url}/x?b=2&a=%20`, { body, contentType, created: Number(created), nonce: String(nonce) });
      assert.equal(again["Signature"], headers["signature"]);
    }
  }));

test("a host sets the clock for itself alone, and to none that nobody can have", () => {
  const signer = Signer.hmac(keys.hmac.secret);
  const now = Math.floor(Date.now() / 1000);
  const createdFor = (url: string): number => Number(/created=(\d+)/.exec(signer.sign("GET", url)["Signature-Input"] ?? "")?.[1]);
  assert.ok(signer.learnTime("https://Wrong.example.com:443/a", { code: "signature_expired", serverTime: now + 3600 }));
  assert.ok(createdFor("https://wrong.example.com/b?c=d") >= now + 3600);
  for (const other of ["https://api.example.com/", "https://wrong.example.com:8443/", "http://wrong.example.com:443/"]) {
    assert.ok(createdFor(other) < now + 60, other);
  }
  for (const serverTime of [now + 90_000, now - 90_000, 0, 4_000_000_000, 1e300, now + 0.5, String(now), true, null]) {
    assert.equal(signer.learnTime("https://api.example.com/", { code: "signature_expired", serverTime }), false, String(serverTime));
    assert.ok(Math.abs(createdFor("https://api.example.com/") - now) < 60, String(serverTime));
  }
});

test("a client of very many hosts remembers the newest clocks", () => {
  const signer = Signer.hmac(keys.hmac.secret);
  const now = Math.floor(Date.now() / 1000);
  const urls = Array.from({ length: 1100 }, (_, number) => `https://${number}.example.com/`);
  for (const url of urls) signer.learnTime(url, { code: "signature_in_future", serverTime: now - 3600 });
  const shifted = urls.filter((url) => Number(/created=(\d+)/.exec(signer.sign("GET", url)["Signature-Input"] ?? "")?.[1]) < now - 60);
  assert.deepEqual(shifted, urls.slice(100));
});
