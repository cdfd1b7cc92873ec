import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import { LocalVerifier } from "../src/index.js";
import { reaches } from "../src/events.js";
import { FakeFeed, POLICY, positionAt, record, signing, version } from "./fakeFeed.js";
import { PATIENCE, type FakeKeystead, problem, until, vectors, withKeystead } from "./fakeKeystead.js";
import { pairOf, remembering, signed } from "./signing.js";

const VALID: { text: string; kid: string }[] = vectors("key_text").valid;
const [FIRST, SECOND, CREDENTIAL] = [VALID[0]!, VALID[1]!, VALID[6]!.text];

interface Heard {
  readonly verifier: LocalVerifier;
  readonly feed: FakeFeed;
  readonly keystead: FakeKeystead;
  readonly ring: (text: string) => void;
  /** How often the lease was renewed since the line was held. */
  readonly renewals: () => number;
}

/** Runs a test with a verifier that listens, and that would not ask by itself while the test runs. */
async function listening(run: (heard: Heard) => Promise<void>, prepare: (feed: FakeFeed) => void = () => undefined): Promise<void> {
  const lines: ServerResponse[] = [];
  const once = (): Promise<void> => withKeystead((keystead) => heard(keystead, lines, run, prepare));
  await once().catch((error: unknown) => {
    if (lines.length < 2) throw error;
    lines.length = 0; // it was held up until its line seemed dead, and called again: what was rung meanwhile nobody heard
    return once();
  });
}

async function heard(
  keystead: FakeKeystead, lines: ServerResponse[], run: (heard: Heard) => Promise<void>, prepare: (feed: FakeFeed) => void,
): Promise<void> {
  const feed = new FakeFeed();
  [feed.renewMs, feed.leaseMs, feed.hearing] = [20_000, 30_000, () => [204, ""]];
  feed.records = VALID.map(({ text, kid }) => record(text, kid));
  prepare(feed);
  feed.at(keystead);
  keystead.on("GET /v1/feed", [200, (response: ServerResponse) => (lines.push(response), response.write(": beat\n\n"))]);
  const verifier = new LocalVerifier({ url: keystead.url, timeout: PATIENCE, credential: CREDENTIAL, name: "tests", nonces: remembering(Date.now()) });
  try {
    await verifier.start();
    await until(() => lines.length > 0 && feed.applied.length > 1);
    const before = feed.applied.length;
    await run({ verifier, feed, keystead, ring: (text) => void lines.at(-1)?.write(text), renewals: () => feed.applied.length - before });
  } finally {
    await verifier.close();
  }
}

test("a change that comes with the ring is applied and said at once, and nothing is asked for it", () =>
  listening(async ({ verifier, feed, ring, renewals }) => {
    const lease = verifier.lease;
    const position = feed.change([], [FIRST.kid]);
    ring(feed.event(0));
    await until(() => !verifier.verify(FIRST.text).valid);
    await until(() => feed.words.includes(position));
    assert.ok(verifier.verify(SECOND.text).valid);
    const pair = pairOf("n".repeat(14));
    feed.change([version("new", "m".repeat(14))], [], "k-2", [signing(pair.publicKey, pair.kid)]);
    ring(feed.event(1));
    await until(() => feed.words.length === 2);
    assert.ok(verifier.verify("new").valid);
    assert.ok((await verifier.verifySignature(signed(pair.signer))).valid);
    assert.deepEqual(feed.words, [position, positionAt(2)]);
    assert.equal(renewals(), 0);
    assert.ok(verifier.lease <= lease, "an event is no lease");
  }));

test("what is known already is nothing to do, also when it began long before", () =>
  listening(async ({ verifier, feed, ring, renewals }) => {
    feed.change([], [FIRST.kid]);
    const old = feed.event(0);
    ring(old);
    await until(() => feed.words.length === 1);
    ring(old);
    feed.change([], [SECOND.kid], "k-2");
    ring(feed.event(0)); // of more than is missing
    await until(() => !verifier.verify(SECOND.text).valid);
    await until(() => feed.words.length === 2);
    ring(old);
    await pause(20);
    assert.deepEqual([feed.words.length, renewals()], [2, 0]);
  }));

test("in every doubt it is only a ring: nothing of it is applied, and a renewal is asked for", async (each) => {
  const doubts: Record<string, (feed: FakeFeed) => string> = {
    "only the position": () => `event: change\ndata: {"position":"${positionAt(4)}"}\n\n`,
    "nothing": () => "event: change\n\n",
    "no JSON": () => "event: change\ndata: {\n\n",
    "no object": () => "event: change\ndata: [1]\n\n",
    "changes between are missing": (feed) => feed.event(3, { told: { since: positionAt(5), position: positionAt(9) } }),
    "it is of before and beside": (feed) => feed.event(0, { told: { position: positionAt(9, { open: [1] }) } }),
    "another past": (feed) => feed.event(3, { told: { position: positionAt(4, { past: "f".repeat(16) }) } }),
    "since another past": (feed) => feed.event(3, { told: { since: positionAt(3, { past: "f".repeat(16) }) } }),
    "a position that is none": (feed) => feed.event(3, { told: { position: "1" } }),
    "changes that are none": (feed) => feed.event(3, { told: { changes: [{ key_id: "k", gone: [FIRST.kid] }] } }),
    "another place": (feed) => feed.event(3, { place: "a\nb" }),
    "signed for something else": (feed) => feed.event(3, { purpose: "keystead changes v1" }),
    "signed by another": (feed) => new FakeFeedOf(feed).event(3),
    "a changed letter": (feed) => feed.event(3).replace('"gone":["', '"gone":["x'),
    "a signature in another spelling": (feed) => feed.event(3).replace(/("signature":"[^"]+)"/, '$1="'),
    "no signature": (feed) => feed.event(3).replace(/,"signature":"[^"]+"/, ""),
  };
  for (const [doubt, said] of Object.entries(doubts)) {
    await each.test(doubt, () =>
      listening(async ({ verifier, feed, ring, renewals }) => {
        feed.change([], [FIRST.kid]);
        feed.away = true; // so that a renewal brings nothing
        ring(said(feed));
        await until(() => verifier.lease > 0 && feed.refused > 0);
        const seen = verifier.verify(FIRST.text).valid;
        assert.ok(seen || doubt === "changes that are none", "it was applied");
        assert.deepEqual([feed.words, renewals()], [[], 0]);
      }, (feed) => (feed.position = 3)),
    );
  }
});

/** Signs with a key of its own under the kid of another. */
class FakeFeedOf extends FakeFeed {
  constructor(other: FakeFeed) {
    super();
    [this.kid, this.position] = [other.kid, other.position - 1];
    this.change([], [FIRST.kid]);
  }
}

test("a word that is not taken has the lease renewed", async (each) => {
  for (const [name, answer] of [["gone", problem("not_found", 404)], ["busy", problem("unavailable", 503)]] as const) {
    await each.test(name, () =>
      listening(
        async ({ verifier, feed, ring, renewals }) => {
          const position = feed.change([], [FIRST.kid]);
          ring(feed.event(0));
          await until(() => renewals() > 0);
          assert.ok(feed.applied.includes(position) && !verifier.verify(FIRST.text).valid);
        },
        (feed) => (feed.hearing = () => answer),
      ),
    );
  }
});

test("a Keystead that takes no word is told by a renewal", () =>
  listening(
    async ({ verifier, feed, ring }) => {
      const position = feed.change([], [FIRST.kid]);
      ring(feed.event(0));
      await until(() => feed.applied.includes(position));
      assert.ok(!verifier.verify(FIRST.text).valid);
      assert.deepEqual(feed.words, []);
    },
    (feed) => (feed.hearing = undefined),
  ));

for (const [name, past, begun] of [["takes nothing back", undefined, 1], ["if of another past, has all read anew", "f".repeat(16), 2]] as const)
  test(`a ring is applied beside a renewal that is under way, whose answer ${name}`, () =>
    listening(async ({ verifier, feed, keystead, ring }) => {
      let answer: (() => void) | undefined;
      feed.change([version(FIRST.text, FIRST.kid)]);
      feed.leaseMs = 60_000; // twice the lease that it has: what is left of that only becomes less
      const said = feed.lease({ body: JSON.stringify({ applied: positionAt(0) }) } as never, past);
      keystead.on("POST /v1/verifiers/v-1/lease", (one) =>
        answer === undefined ? [200, (response: ServerResponse) => (answer = () => response.end(JSON.stringify(said[1])))] : feed.lease(one));
      ring("event: change\ndata: {}\n\n");
      await until(() => answer !== undefined);
      const position = feed.change([], [FIRST.kid]);
      feed.records = feed.records.slice(1); // for who reads all anew
      ring(feed.event(0));
      await until(() => feed.words.includes(position));
      assert.ok(!verifier.verify(FIRST.text).valid);
      assert.ok(verifier.lease <= 30_000);
      answer?.(); // of before the stop: by it the key would verify again
      await until(() => verifier.lease > 30_000 && feed.registered === begun);
      assert.deepEqual([FIRST, SECOND].map(({ text }) => verifier.verify(text).valid), [false, true]);
      assert.equal(feed.words.length, 1);
    }));

test("what a renewal brings is said in a word, too", () =>
  listening(async ({ verifier, feed, ring, renewals }) => {
    const position = feed.change([], [FIRST.kid]);
    ring("event: change\ndata: {}\n\n");
    await until(() => feed.words.includes(position));
    assert.ok(!verifier.verify(FIRST.text).valid);
    assert.equal(renewals(), 1);
  }));

test("one position reaches another if it knows all its transactions", () => {
  const past = "0123456789abcdef";
  for (const [here, there, wanted] of [
    ["1:5:", "1:5:", true], ["1:5:", "1:6:", false], ["1:6:", "1:5:", true], ["1:6:2,4", "1:6:4", false], ["1:6:4", "1:6:2,4", true],
    ["1:9:7,8", "1:7:", true], ["1:9:6", "1:7:", false], ["1:9:6", "1:7:6", true], ["3:9:3", "3:4:", false],
    ["1:9223372036854775807:", "1:9223372036854775806:", true], ["1:9223372036854775806:", "1:9223372036854775807:", false],
    ["1:9223372036854775807:9223372036854775805", "1:9223372036854775807:9223372036854775804", false],
  ] as const) {
    assert.equal(reaches(`${here}@${past}`, `${there}@${past}`), wanted, `${here} and ${there}`);
  }
  assert.equal(reaches(`1:5:@${past}`, "1:5:@fedcba9876543210"), false);
  for (const odd of ["", "1", "1:5:", `1:5@${past}`, `1:5:,@${past}`, `1:x:@${past}`, `1:5:@${past}\n`, `1:5:@${past}0`, `-1:5:@${past}`, `1:-5:@${past}`]) {
    assert.throws(() => reaches(odd, `1:5:@${past}`), RangeError, odd);
    assert.throws(() => reaches(`1:5:@${past}`, odd), RangeError, odd);
  }
});

test("a change that can be read in part leaves what was told before", () =>
  listening(async ({ verifier, feed, ring, renewals }) => {
    const narrow = { policy: { ...POLICY, networks: ["10.0.0.0/8"] } };
    feed.change([version(FIRST.text, FIRST.kid, narrow)]);
    ring(feed.event(0));
    await until(() => feed.words.length === 1);
    const odd = version(FIRST.text, FIRST.kid, { policy: "of another release" });
    const changes = [{ key_id: "k-1", versions: [odd], signers: [], gone: [] }];
    ring(feed.event(1, { told: { changes, position: positionAt(2) } }));
    await until(() => renewals() > 0);
    const verdict = verifier.verify(FIRST.text);
    assert.equal(verdict.valid ? "valid" : verdict.reason, "network", "the snapshot allows more");
  }));
