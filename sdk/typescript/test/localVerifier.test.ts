import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { test, type TestContext } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import { type LocalOptions, LocalVerifier, Refused, type Verdict } from "../src/index.js";
import { FakeFeed, POLICY, record, version } from "./fakeFeed.js";
import { PATIENCE, type FakeKeystead, problem, rotating, timesMeanwhile, until, vectors, withKeystead } from "./fakeKeystead.js";

const VALID: { text: string; kid: string }[] = vectors("key_text").valid;
const [FIRST, SECOND, CREDENTIAL] = [VALID[0]!, VALID[1]!, VALID[6]!.text];

type Options = Partial<LocalOptions>;

/** Runs a test with a verifier that follows a Keystead, and stops both whatever happens. */
async function following(
  run: (verifier: LocalVerifier, feed: FakeFeed, keystead: FakeKeystead) => Promise<void>,
  options: Options = {},
  prepare: (feed: FakeFeed, keystead: FakeKeystead) => void = (feed) => (feed.renewMs = 20),
): Promise<void> {
  await withKeystead(async (keystead) => {
    const feed = new FakeFeed().at(keystead);
    feed.records = VALID.map(({ text, kid }) => record(text, kid));
    prepare(feed, keystead);
    const verifier = new LocalVerifier({ url: keystead.url, timeout: PATIENCE, credential: CREDENTIAL, name: "tests", ...options });
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

test("keys of the snapshot verify and others do not", () =>
  following(async (verifier) => {
    for (const { text, kid } of VALID) {
      const verdict = verifier.verify(text, { scopes: ["orders:read"] });
      assert.ok(verdict.valid);
      assert.deepEqual([verdict.kid, verdict.ownerTeam, verdict.service], [kid, "reporting", "orders"]);
    }
    for (const text of [undefined, null, [FIRST.text, FIRST.text]] as never[]) assert.equal(reason(verifier.verify(text)), "malformed");
    assert.equal(reason(verifier.verify(FIRST.text.slice(0, -1))), "malformed");
    assert.equal(reason(verifier.verify(FIRST.text, { scopes: ["orders:write"] })), "scope");
  }));

test("a key with limits is held to them, and others are not", () =>
  following(
    async (verifier, feed) => {
      assert.equal(reason(verifier.verify(FIRST.text, { scopes: ["x"] })), "scope", "a refusal uses nothing up");
      const said = Array.from({ length: 4 }, () => verifier.verify(FIRST.text));
      assert.deepEqual(said.map(reason), ["valid", "valid", "quota", "quota"]);
      assert.equal(said[3]!.status, 429);
      const position = feed.change([version(SECOND.text, SECOND.kid, { policy: { ...POLICY, limits: { requests_per_day: 1 } } })]);
      assert.ok(verifier.verify(SECOND.text).valid);
      await until(() => feed.applied.includes(position));
      assert.deepEqual([1, 2].map(() => reason(verifier.verify(SECOND.text))), ["valid", "quota"]);
    },
    {},
    (feed) => {
      feed.renewMs = 20;
      feed.policies = [{ ...POLICY, limits: { requests_per_day: 2 } }, POLICY];
      feed.records = [record(FIRST.text, FIRST.kid), record(SECOND.text, SECOND.kid, { policy: 1 })];
    },
  ));

test("a ring of the doorbell brings a revocation at once, and it is confirmed at once", () => {
  const lines: ServerResponse[] = [];
  return following(
    async (verifier, feed, keystead) => {
      await until(() => lines.length > 0);
      await until(() => feed.applied.length > 2); // two at the start, and one for the first ring
      const position = feed.change([], [FIRST.kid]);
      lines.at(-1)?.write(`event: change\ndata: {"position":"${position}"}\n\n`);
      await until(() => !verifier.verify(FIRST.text).valid);
      await until(() => feed.applied.includes(position));
      assert.ok(verifier.verify(SECOND.text).valid);
      const asked = keystead.asked.find(({ path }) => path === "/v1/feed");
      assert.deepEqual([asked?.bearer, asked?.headers.accept], [CREDENTIAL, "text/event-stream"]);
    },
    {},
    (feed, keystead) => {
      feed.renewMs = 3_600_000; // without a ring nobody asks again within a test
      keystead.on("GET /v1/feed", [200, (response: ServerResponse) => response.write(lines.push(response) > 1 ? ": beat\n\n" : "event: change\ndata: {}\n\n")]);
    },
  );
});

test("a ring with nothing behind it changes nothing, and without a bell the lease is renewed all the same", () =>
  following(async (verifier, feed, keystead) => {
    assert.equal(keystead.asked.filter(({ path }) => path === "/v1/feed").length <= 1, true);
    const position = feed.change([version(FIRST.text, FIRST.kid, { policy: { ...POLICY, scopes: ["orders:cancel"] } })]);
    await until(() => feed.applied.includes(position));
    assert.ok(verifier.verify(FIRST.text, { scopes: ["orders:cancel"] }).valid);
    assert.equal(reason(verifier.verify(FIRST.text, { scopes: ["orders:read"] })), "scope");
  }));

/** Lets a minute and more pass at once: no lease of before lasts as long. */
function pass(context: TestContext): void {
  const now = performance.now.bind(performance);
  context.mock.method(performance, "now", () => now() + 61_000);
}

test("without a lease everything is stale, and it heals by itself", (context) =>
  following(async (verifier, feed) => {
    feed.away = true;
    assert.ok(verifier.verify(FIRST.text).valid); // the lease still runs
    const refused = feed.refused;
    await until(() => feed.refused > refused); // what was asked before is answered
    pass(context);
    const verdict = verifier.verify(FIRST.text);
    assert.deepEqual([reason(verdict), verdict.status], ["stale", 503]);
    feed.away = false;
    await until(() => verifier.verify(FIRST.text).valid);
  }));

test("a forged change is not applied and renews nothing", () =>
  following(
    async (verifier, feed, keystead) => {
      keystead.on("POST /v1/verifiers/v-1/lease", (asked) => {
        const [status, said] = feed.lease(asked);
        return [status, { ...(said as object), changes: [{ key_id: "k", versions: [version("x", "evil")], gone: [] }] }];
      });
      await until(() => reason(verifier.verify(FIRST.text)) === "stale");
    },
    {},
    (feed) => ([feed.leaseMs, feed.renewMs] = [250, 20]),
  ));

test("a new signing key is learnt, and what is held stays", (context) =>
  following(async (verifier, feed, keystead) => {
    feed.signWith("snap-2");
    pass(context);
    await until(() => verifier.verify(FIRST.text).valid);
    assert.equal(keystead.asked.filter((each) => each.path === "/v1/snapshot").length, 1);
  }));

test("a pinned signing key is not replaced", (context) => {
  const pinned: Record<string, string> = {};
  return following(
    async (verifier, feed) => {
      assert.ok(verifier.verify(FIRST.text).valid);
      feed.signWith("snap-2");
      const renewals = feed.applied.length;
      await until(() => feed.applied.length > renewals + 2); // answered in vain
      pass(context);
      assert.equal(reason(verifier.verify(FIRST.text)), "stale");
    },
    { signingKeys: pinned },
    (feed) => ((feed.renewMs = 20), Object.assign(pinned, feed.keys)),
  );
});

test("a resync begins anew, and an unknown verifier registers again", () =>
  following(async (verifier, feed, keystead) => {
    feed.records = [record(SECOND.text, SECOND.kid)];
    feed.resync = true;
    await until(() => verifier.verify(SECOND.text).valid && !verifier.verify(FIRST.text).valid);
    keystead.on("POST /v1/verifiers/v-1/lease", problem("not_found", 404));
    await until(() => reason(verifier.verify(SECOND.text)) === "stale");
    keystead.on("POST /v1/verifiers/v-1/lease", (asked) => feed.lease(asked));
    await until(() => verifier.verify(SECOND.text).valid);
  }));

test("whoever is started twice at once begins once", () =>
  withKeystead(async (keystead) => {
    const feed = new FakeFeed().at(keystead);
    const verifier = new LocalVerifier({ url: keystead.url, timeout: PATIENCE, credential: CREDENTIAL });
    try {
      await Promise.all([verifier.start(), verifier.start()]);
      await verifier.start();
      assert.ok(verifier.lease > 0);
      assert.equal(feed.registered, 1);
    } finally {
      await verifier.close();
    }
  }));

test("a credential that may not is told at the start", () =>
  withKeystead(async (keystead) => {
    keystead.on("POST /v1/verifiers", problem("insufficient_scope", 403));
    const verifier = new LocalVerifier({ url: keystead.url, timeout: PATIENCE, credential: CREDENTIAL });
    await assert.rejects(verifier.start(), Refused);
    assert.equal(reason(verifier.verify(FIRST.text)), "stale");
    await verifier.close();
  }));

test("uses are reported at the end, and then nothing is answered", async () => {
  let last: LocalVerifier | undefined;
  const told: Record<string, number> = {};
  await withKeystead(async (keystead) => {
    const feed = new FakeFeed().at(keystead);
    feed.records = [record(FIRST.text, FIRST.kid)];
    last = await new LocalVerifier({ url: keystead.url, timeout: PATIENCE, credential: CREDENTIAL }).start();
    for (let turn = 0; turn < 3; turn++) last.verify(FIRST.text, { client: { address: "192.0.2.1" } });
    last.verify(FIRST.text, { scopes: ["x"] });
    await last.close();
    for (const { outcome, count } of feed.uses) told[outcome] = count;
    assert.ok(keystead.asked.some(({ method }) => method === "DELETE"));
  });
  assert.deepEqual(told, { valid: 3, scope: 1 });
  assert.equal(reason(last!.verify(FIRST.text)), "stale");
});

test("trouble that cannot be told ends neither the watch nor the process", () =>
  withKeystead(async (keystead) => {
    const feed = new FakeFeed().at(keystead);
    feed.records = [record(FIRST.text, FIRST.kid)];
    [feed.away, feed.renewMs] = [true, 5];
    const onTrouble = (): void => {
      throw new Error("no mail today");
    };
    const verifier = await new LocalVerifier({ url: keystead.url, timeout: PATIENCE, credential: CREDENTIAL, onTrouble }).start();
    await until(() => feed.refused >= 3);
    feed.away = false;
    await until(() => verifier.verify(FIRST.text).valid);
    await verifier.close();
  }));

test("a batch is no larger than Keystead reads, and holds no text that it does not", () =>
  withKeystead(async (keystead) => {
    const feed = new FakeFeed().at(keystead);
    feed.records = [record(FIRST.text, FIRST.kid)];
    const verifier = await new LocalVerifier({ url: keystead.url, timeout: PATIENCE, credential: CREDENTIAL }).start();
    for (let number = 0; number < 600; number++) verifier.verify(FIRST.text, { client: { userAgent: `${number} ${"x".repeat(200)}` } });
    verifier.verify(FIRST.text, { client: { userAgent: "a\0b\ud800c" } });
    await verifier.close();
    const sent = keystead.asked.filter(({ path }) => path.endsWith("/uses")).map(({ body }) => body);
    assert.equal(feed.uses.length, 601);
    assert.ok(sent.length > 1 && sent.every((body) => Buffer.byteLength(body) <= 64 * 1024));
    assert.ok(!sent.some((body) => body.includes("\\u0000") || body.includes("\\ud800")));
  }));

for (const days of [-3, 3]) {
  test(`uses are told by the server's clock, ${days} days from ours`, () =>
    withKeystead(async (keystead) => {
      const feed = new FakeFeed().at(keystead);
      feed.ahead = days * 86_400_000;
      feed.records = [record(FIRST.text, FIRST.kid, { endsAt: Date.now() + 9 * 86_400_000 })];
      const verifier = await new LocalVerifier({ url: keystead.url, timeout: PATIENCE, credential: CREDENTIAL }).start();
      assert.ok(verifier.verify(FIRST.text).valid);
      await verifier.close();
      assert.deepEqual(feed.uses.map(({ minute }) => Math.abs(minute - Date.now() - feed.ahead) < 300_000), [true]);
    }));
}

test("a program that is busy all the time goes on to renew while it tells of it, and comes to an end", (context) =>
  following(
    async (verifier, feed, keystead) => {
      let told = 0;
      const renewals: number[] = []; // up to each batch
      const taken = (response: ServerResponse): unknown => (
        renewals.push(feed.applied.length), setTimeout(() => ((told += 1), response.end()), 30)
      );
      keystead.on("POST /v1/verifiers/v-1/uses", [204, taken]);
      const busy = setInterval(() => assert.ok(verifier.verify(FIRST.text).valid), 5);
      try {
        for (let turn = 0; turn < 5 * 500; turn++) verifier.verify(FIRST.text, { client: { instance: `worker-${turn}` } });
        const now = performance.now.bind(performance);
        context.mock.method(performance, "now", () => now() + 10_001); // it is time to tell
        await until(() => told > 4);
        assert.ok(renewals[4]! > renewals[0]! + 2, "the lease is renewed between them");
        await pause(500);
        assert.ok(told < 10, "what is counted meanwhile is told next time");
      } finally {
        clearInterval(busy);
      }
    },
    {},
    (feed) => ([feed.renewMs, feed.leaseMs] = [20, 60_000]),
  ));

test("where the site is away too the other place is asked again at once", () =>
  withKeystead(async (keystead) => {
    const feed = new FakeFeed().at(keystead);
    feed.records = [record(FIRST.text, FIRST.kid)];
    const registration = { verifier: "v-1", lease_ms: 3000, renew_ms: 20, lease: `${keystead.url}/beside/lease` };
    keystead.on("POST /v1/verifiers", [201, registration]);
    keystead.on("POST /beside/lease", [502, "away"]);
    const beside = (): number => keystead.asked.filter(({ path }) => path === "/beside/lease").length;
    const verifier = await new LocalVerifier({ url: keystead.url, timeout: PATIENCE, credential: CREDENTIAL }).start();
    try {
      await until(() => feed.applied.length > 3);
      assert.equal(beside(), 1);
      keystead.on("POST /v1/verifiers/v-1/lease", [502, "away"]);
      await until(() => beside() > 2);
    } finally {
      await verifier.close();
    }
  }));

test("uses that are never taken hold up none that come later", () =>
  withKeystead(async (keystead) => {
    const feed = new FakeFeed().at(keystead);
    feed.records = [record(FIRST.text, FIRST.kid)];
    const troubles: unknown[] = [];
    const options = { url: keystead.url, timeout: PATIENCE, credential: CREDENTIAL, onTrouble: (error: unknown) => troubles.push(error) };
    const verifier = await new LocalVerifier(options).start();
    for (let turn = 0; turn < 501; turn++) verifier.verify(FIRST.text, { client: { instance: `worker-${turn}` } });
    const taken: unknown[] = [];
    let batches = 0;
    keystead.on("POST /v1/verifiers/v-1/uses", ({ body }) =>
      ++batches === 1 ? problem("invalid_input", 422) : (taken.push(...JSON.parse(body).uses), [204, ""]),
    );
    await verifier.close();
    assert.deepEqual([batches, taken.length, troubles.length], [2, 1, 1]);
  }));

test("whoever closes it while its registration hangs leaves no lease behind", () =>
  withKeystead(async (keystead) => {
    const feed = new FakeFeed().at(keystead);
    feed.records = [record(FIRST.text, FIRST.kid)];
    let arrives: (() => void) | undefined;
    const registration = { verifier: "v-1", lease_ms: 3000, renew_ms: 20 };
    keystead.on("POST /v1/verifiers", [201, (response: ServerResponse) => (arrives = () => response.end(JSON.stringify(registration)))]);
    const verifier = new LocalVerifier({ url: keystead.url, timeout: PATIENCE, credential: CREDENTIAL });
    const started = verifier.start();
    await until(() => arrives !== undefined);
    const closed = verifier.close();
    await pause(50);
    arrives?.();
    await Promise.all([started, closed]);
    assert.equal(reason(verifier.verify(FIRST.text)), "stale");
    assert.deepEqual([keystead.asked.at(-1)?.method, keystead.asked.at(-1)?.path], ["DELETE", "/v1/verifiers/v-1"]);
  }));

test("a rotation of its own credential costs no lease", async () => {
  // With an overlap of `now` the old secret stops at once, and what is current is the old one until all has settled.
  const newer = VALID[5]!.text;
  let rung = 0;
  const prepare = (feed: FakeFeed, keystead: FakeKeystead): void => {
    feed.renewMs = 20;
    keystead.on("GET /v1/feed", [200, (response: ServerResponse) => ((rung += 1), response.end(": beat\n\n"))]);
  };
  for (const isStopped of [false, true]) {
    await following(
      async (verifier, feed, keystead) => {
        keystead.stopped.add(CREDENTIAL);
        rung = 0;
        const renewed = feed.applied.length;
        await until(() => !verifier.verify(FIRST.text).valid || (rung > 0 && feed.applied.length > renewed + 10));
        assert.equal(reason(verifier.verify(FIRST.text)), "valid");
        await verifier.close();
        assert.ok(feed.uses.length > 0);
        assert.deepEqual([keystead.asked.at(-1)?.method, keystead.asked.at(-1)?.bearer], ["DELETE", newer]);
      },
      { credential: rotating(CREDENTIAL, newer) },
      (feed, keystead) => {
        prepare(feed, keystead);
        if (isStopped) keystead.stopped.add(CREDENTIAL);
      },
    );
  }
});

test("a pause that is none has Keystead asked no more often than else", async () => {
  for (const told of [0, -1, null, "soon", 2 ** 40, {}]) {
    await following(
      async (_, __, keystead) => assert.ok((await timesMeanwhile(keystead, "/v1/verifiers/v-1/lease")) < 40, String(told)),
      {},
      (feed) => (feed.renewMs = told as never),
    );
  }
});

test("a Keystead that forgets each registration is not asked without a pause", () =>
  following(
    async (verifier, feed, keystead) => {
      assert.equal(reason(verifier.verify(FIRST.text)), "stale");
      assert.ok((await timesMeanwhile(keystead, "/v1/verifiers")) < 20);
      feed.at(keystead);
      await until(() => verifier.verify(FIRST.text).valid); // and is heard when it is whole again
    },
    {},
    (feed, keystead) => ((feed.renewMs = 20), keystead.on("POST /v1/verifiers/v-1/lease", problem("not_found", 404))),
  ));

test("whoever closes it waits for no snapshot that hangs", () =>
  withKeystead(async (keystead) => {
    new FakeFeed().at(keystead);
    let [isAsked, isClosed] = [false, false];
    keystead.on("GET /v1/snapshot", [200, (response: ServerResponse) => ((isAsked = true), response.write("KSSNAP1"))]);
    const verifier = new LocalVerifier({ url: keystead.url, timeout: PATIENCE, credential: CREDENTIAL });
    const started = verifier.start();
    await until(() => isAsked);
    void verifier.close().then(() => (isClosed = true));
    await until(() => isClosed);
    await started;
    assert.deepEqual([keystead.asked.at(-1)?.method, keystead.asked.at(-1)?.path], ["DELETE", "/v1/verifiers/v-1"]);
  }));

test("a lease or an end that is no number is none, not one for ever", () =>
  following(
    async (verifier, feed) => {
      feed.leaseMs = {} as never;
      await until(() => reason(verifier.verify(FIRST.text)) === "stale");
      feed.leaseMs = 250;
      await until(() => verifier.verify(FIRST.text).valid);
      feed.change([version(FIRST.text, FIRST.kid, { ends_at: null })]);
      await until(() => reason(verifier.verify(FIRST.text)) === "stale");
    },
    {},
    (feed) => ([feed.leaseMs, feed.renewMs] = [250, 20]),
  ));

test("whoever is told of trouble is told why", async () => {
  const told: unknown[] = [];
  const verifier = new LocalVerifier({ url: "http://127.0.0.1:1", timeout: PATIENCE, credential: CREDENTIAL, onTrouble: (error) => told.push(String(error)) });
  await verifier.start();
  await verifier.close();
  assert.match(String(told[0]), /Keystead did not answer: fetch failed: .+/);
});
