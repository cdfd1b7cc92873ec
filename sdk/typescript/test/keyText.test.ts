import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";

import { digest, findKeys, kidOf, MalformedKey, parse, Secret } from "../src/index.js";
import { vectors } from "./fakeKeystead.js";

const { valid, tokens, invalid } = vectors("key_text");

test("valid texts say their environment and kid", () => {
  for (const each of valid) assert.deepEqual(parse(each.text), { environment: each.environment, kid: each.kid });
});

test("anything else is malformed, with the same code as in the portal, and never quoted", () => {
  for (const { text, code } of invalid) {
    assert.throws(
      () => parse(text),
      (error) => error instanceof MalformedKey && error.code === code && (text === "" || !error.message.includes(text)),
    );
    assert.equal(kidOf(text), undefined);
  }
});

test("digests are those that Keystead stores", () => {
  const known = vectors("key_digest").digests.filter((each: { algorithm: string }) => each.algorithm === "sha256-ks1");
  for (const each of known) assert.equal(digest(each.text), each.digest);
});

test("keys are found inside a longer text but not inside a longer word", () => {
  const one: string = valid[2].text;
  const text = `KEY=${one}; x${one} ${one}0 '${one}'`;
  assert.deepEqual(Array.from(findKeys(text), ({ start, end }) => text.slice(start, end)), [one, one]);
});

test("the token of a person is found, so that it can be refused, and is no key", () => {
  for (const { text, kid } of tokens) {
    assert.throws(() => parse(text), MalformedKey);
    assert.deepEqual(Array.from(findKeys(`t=${text}`)), [{ environment: "person", kid, start: 2, end: 2 + text.length }]);
  }
});

test("a secret shows itself only when asked", () => {
  const secret = new Secret(valid[0].text);
  for (const shown of [`${secret}`, JSON.stringify({ secret }), inspect({ secret }), String(secret)]) {
    assert.ok(!shown.includes(valid[0].text));
  }
  assert.equal(secret.reveal(), valid[0].text);
  assert.ok(secret.equals(new Secret(valid[0].text)));
});
