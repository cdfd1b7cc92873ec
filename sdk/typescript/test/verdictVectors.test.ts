import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";

import { digest } from "../src/index.js";
import { whyNot } from "../src/deciding.js";
import { kidOf } from "../src/keyText.js";
import { readSnapshot } from "../src/snapshots.js";
import { vectors } from "./fakeKeystead.js";
import { FakeFeed, record } from "./fakeFeed.js";

const { versions, cases } = vectors("verification");

test("the verdicts in process are those of the vectors, which test the portal too", () => {
  const feed = new FakeFeed();
  const held = versions.filter((each: { held: unknown }) => each.held !== null);
  feed.policies = held.map((each: { held: { policy: unknown } }) => each.held.policy);
  for (const [place, { kid, text, held: known }] of held.entries()) {
    feed.records.push(record(text, kid, { policy: place, retires: known.retires, endsAt: known.ends_at }));
    if (known.warned !== null) feed.warned[kid] = known.warned;
  }
  const snapshot = readSnapshot(feed.snapshot(), feed.keys);
  assert.equal(snapshot.count, held.length);
  for (const each of cases) {
    const text: string = each.text ?? versions.find(({ name }: { name: string }) => name === each.presents).text;
    const entry = snapshot.find(Buffer.from(digest(text), "hex"));
    const client = each.address === null ? {} : { client: { address: each.address } };
    const said =
      entry === undefined
        ? kidOf(text) === undefined ? "malformed" : "unknown"
        : (whyNot(entry, each.at, { scopes: each.scopes, ...client }) ?? "valid");
    assert.equal(said, each.in_process ?? each.verdict, each.says);
  }
});

test("a changed byte anywhere in a snapshot is noticed", () => {
  const feed = new FakeFeed();
  for (const { text, kid } of versions) feed.records.push(record(text, kid));
  const content = feed.snapshot();
  assert.equal(readSnapshot(content, feed.keys).count, versions.length);
  for (const place of [0, 9, 40, 400, content.length - 100, content.length - 1]) {
    const changed = Buffer.from(content);
    changed[place] = (changed[place] as number) ^ 1;
    assert.throws(() => readSnapshot(changed, feed.keys), { name: "IntegrityError" });
  }
  for (const cut of [0, 7, 11, 200, content.length - 64]) {
    assert.throws(() => readSnapshot(content.subarray(0, cut), feed.keys), { name: "IntegrityError" });
  }
  assert.throws(() => readSnapshot(content, {}), { code: "unknown_signing_key" });
  assert.equal(readSnapshot(content, feed.keys).find(createHash("sha256").digest()), undefined);
});
