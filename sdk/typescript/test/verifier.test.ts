import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { test } from "node:test";

import { type KeysteadError, LocalVerifier, MalformedKey, Refused, Secret, Unsafe, Verifier } from "../src/index.js";
import { PATIENCE, problem, rotating, until, vectors, withKeystead } from "./fakeKeystead.js";

const KEY: string = vectors("key_text").valid[8].text;
const CREDENTIAL: string = vectors("key_text").valid[6].text;
const YES = { valid: true, kid: "8nbmcDHypESyDn", key: "KEY-7", scopes: ["orders:read"], expires_at: "2026-12-22T09:00:00.000Z" };

test("a valid key is told with all that is known of it", () =>
  withKeystead(async (keystead) => {
    keystead.on("POST /v1/verify", [200, YES]);
    const verifier = new Verifier({ url: keystead.url, timeout: PATIENCE, credential: CREDENTIAL });
    const client = { address: "192.0.2.1", userAgent: "curl", instance: "pod-1" };
    const verdict = await verifier.verify(KEY, { scopes: ["orders:read"], method: "GET", client });
    assert.ok(verdict.valid);
    assert.deepEqual(verdict.scopes, new Set(["orders:read"]));
    assert.equal(verdict.expiresAt?.toISOString(), "2026-12-22T09:00:00.000Z");
    assert.equal(keystead.asked[0]?.bearer, CREDENTIAL);
    assert.deepEqual(JSON.parse(keystead.asked[0]?.body ?? ""), {
      key: KEY,
      method: "GET",
      scopes: ["orders:read"],
      client: { address: "192.0.2.1", user_agent: "curl", instance: "pod-1" },
    });
  }));

test("a credential that was not given is said at once", () => {
  for (const kind of [Verifier, LocalVerifier]) {
    for (const credential of [undefined, null, {}]) {
      assert.throws(() => new kind({ url: "https://keys.example.com", credential: credential as never }), MalformedKey);
    }
  }
});

test("what the door does not read is left out: no reason to refuse everybody's keys", () =>
  withKeystead(async (keystead) => {
    keystead.on("POST /v1/verify", [200, YES]);
    const verifier = new Verifier({ url: keystead.url, timeout: PATIENCE, credential: CREDENTIAL });
    for (const address of ["", "localhost", "fe80::1%eth0", "192.0.2.1:80"]) {
      for (const method of ["", "get", "VERSION-CONTROL"]) {
        assert.ok((await verifier.verify(KEY, { method, client: { address, userAgent: "curl" } })).valid);
        assert.deepEqual(JSON.parse(keystead.asked.at(-1)?.body ?? ""), { key: KEY, client: { user_agent: "curl" } });
      }
    }
  }));

test("what is no clear yes is a refusal", () =>
  withKeystead(async (keystead) => {
    const verifier = new Verifier({ url: keystead.url, timeout: PATIENCE, credential: CREDENTIAL });
    for (const answer of [
      [200, "<html>"], [200, []], [200, { ...YES, valid: "true" }], [200, { ...YES, valid: 1 }], [200, { ...YES, scopes: "all" }], [302, ""],
      [500, "oops"], [200, { ...YES, expires_at: "soon" }], problem("verifier_stale", 503), problem("too_many_requests", 429),
    ] as const) {
      keystead.on("POST /v1/verify", answer);
      const verdict = await verifier.verify(KEY);
      assert.equal(verdict.valid, false);
      assert.equal(verdict.status, 503);
    }
    const away = new Verifier({ url: "http://127.0.0.1:1", credential: CREDENTIAL, timeout: 500 });
    assert.equal((await away.verify(KEY)).valid, false);
  }));

test("refusals have the status for the caller", () =>
  withKeystead(async (keystead) => {
    const verifier = new Verifier({ url: keystead.url, timeout: PATIENCE, credential: CREDENTIAL });
    for (const [reason, status] of [["expired", 401], ["scope", 403], ["rate_limit", 429], ["stale", 503], ["toString", 401]]) {
      keystead.on("POST /v1/verify", [200, { valid: false, reason }]);
      const verdict = await verifier.verify(KEY);
      assert.ok(!verdict.valid);
      assert.deepEqual([verdict.reason, verdict.status], [reason, status]);
    }
  }));

test("what is no key is refused without asking, and a misused credential is the service's mistake", () =>
  withKeystead(async (keystead) => {
    const verifier = new Verifier({ url: keystead.url, timeout: PATIENCE, credential: CREDENTIAL });
    for (const text of [undefined, "", "x", KEY.slice(0, -1), `${KEY.slice(0, -1)}x`]) {
      const verdict = await verifier.verify(text);
      assert.ok(!verdict.valid && verdict.reason === "malformed");
    }
    assert.equal(keystead.asked.length, 0);
    keystead.on("POST /v1/verify", problem("insufficient_scope", 403));
    await assert.rejects(verifier.verify(KEY), Refused);
  }));

test("many are asked at once and answered in order", () =>
  withKeystead(async (keystead) => {
    keystead.on("POST /v1/verify:batch", ({ body }) => {
      const { keys } = JSON.parse(body) as { keys: unknown[] };
      return [200, { results: keys.map((_, place) => ({ ...YES, kid: String(place) })) }];
    });
    const verifier = new Verifier({ url: keystead.url, timeout: PATIENCE, credential: CREDENTIAL });
    const verdicts = await verifier.verifyMany([KEY, "typo", ...Array<string>(100).fill(KEY)].map((key) => ({ key })));
    assert.deepEqual(verdicts.slice(0, 4).map((each) => (each.valid ? each.kid : each.reason)), ["0", "malformed", "1", "2"]);
    assert.equal(keystead.asked.length, 2);
  }));

test("what many clients said of themselves fits into the questions", () =>
  withKeystead(async (keystead) => {
    keystead.on("POST /v1/verify:batch", ({ body }) => {
      if (Buffer.byteLength(body) > 64 * 1024) return problem("body_too_large", 413);
      const { keys } = JSON.parse(body) as { keys: { client: { instance: string } }[] };
      return [200, { results: keys.map(({ client }) => ({ ...YES, kid: client.instance })) }];
    });
    const verifier = new Verifier({ url: keystead.url, timeout: PATIENCE, credential: CREDENTIAL });
    const places = Array.from({ length: 100 }, (_, place) => String(place));
    // Strangers choose how long their User-Agent is: a hundred long ones are no mistake of the service that asks.
    const verdicts = await verifier.verifyMany(places.map((instance) => ({ key: KEY, client: { userAgent: "\u2603".repeat(3000), instance } })));
    assert.deepEqual(verdicts.map((each) => (each.valid ? each.kid : each.reason)), places);
  }));

test("a signature that Keystead does not even read is its sender's mistake, and scopes are the service's own", () =>
  withKeystead(async (keystead) => {
    const verifier = new Verifier({ url: keystead.url, timeout: PATIENCE, credential: CREDENTIAL });
    const headers = { "signature-input": "x".repeat(9000), signature: "keystead=:x:" };
    const request = { method: "GET", authority: "api.example.com", path: "/x", headers };
    const tooLong = { field: "headers.signature-input", code: "too_long" };
    for (const said of [problem("body_too_large", 413), problem("invalid_input", 422, { errors: [tooLong] })]) {
      keystead.on("POST /v1/verify-signature", said);
      const verdict = await verifier.verifySignature(request, { scopes: ["orders:write"] });
      assert.ok(!verdict.valid);
      assert.deepEqual([verdict.reason, verdict.status, verdict.fault], ["signature_malformed", 401, "signature_input_form"]);
    }
    const errors = [tooLong, { field: "scopes", code: "not_a_list_of_scopes" }];
    keystead.on("POST /v1/verify-signature", problem("invalid_input", 422, { errors }));
    await assert.rejects(verifier.verifySignature(request, { scopes: ["No Scope"] }), Refused);
  }));

test("a connection that the server closed meanwhile costs no verdict, and one that it always closes is asked for once more", () =>
  withKeystead(async (keystead) => {
    let closing = 1;
    const close = (response: ServerResponse): unknown => response.destroy();
    keystead.on("POST /v1/verify", () => [200, closing-- > 0 ? close : YES]);
    const verifier = new Verifier({ url: keystead.url, timeout: PATIENCE, credential: CREDENTIAL });
    assert.ok((await verifier.verify(KEY)).valid);
    assert.equal(keystead.asked.length, 2);
    closing = 9;
    const verdict = await verifier.verify(KEY);
    assert.equal(verdict.valid ? "valid" : verdict.reason, "unavailable");
    assert.equal(keystead.asked.length, 4);
  }));

test("keys never travel in the clear", () => {
  assert.throws(() => new Verifier({ url: "http://keys.example.com", credential: CREDENTIAL }), Unsafe);
});

test("a rotation of its own credential costs no verdict", () =>
  withKeystead(async (keystead) => {
    keystead.on("POST /v1/verify", [200, YES]);
    keystead.stopped.add(CREDENTIAL);
    const newer: string = vectors("key_text").valid[5].text;
    assert.ok((await new Verifier({ url: keystead.url, timeout: PATIENCE, credential: rotating(CREDENTIAL, newer) }).verify(KEY)).valid);
    for (const other of [undefined, CREDENTIAL]) {
      const verifier = new Verifier({ url: keystead.url, timeout: PATIENCE, credential: rotating(CREDENTIAL, other) });
      await assert.rejects(verifier.verify(KEY), { name: "Refused", status: 401 });
    }
    assert.equal(keystead.asked.length, 2 + 1 + 2, "once more, and no more");
  }));

test("a credential that no header may hold is said at once, and never shown", async () => {
  const hides = (error: unknown): boolean => error instanceof MalformedKey && !`${error.message} ${error.stack}`.includes("ks_");
  for (const credential of [`${CREDENTIAL}\nsecond`, `${CREDENTIAL}\u2019`, `${CREDENTIAL}\0`, `${CREDENTIAL} x`]) {
    for (const kind of [Verifier, LocalVerifier]) {
      assert.throws(() => new kind({ url: "https://keys.example.com", credential }), hides);
    }
    const own = { current: () => new Secret(credential) };
    await assert.rejects(new Verifier({ url: "http://127.0.0.1:1", timeout: PATIENCE, credential: own }).verify(KEY), hides);
    const told: unknown[] = [];
    const verifier = new LocalVerifier({ url: "http://127.0.0.1:1", timeout: PATIENCE, credential: own, onTrouble: (error) => told.push(error) });
    await verifier.start();
    await verifier.close();
    assert.ok(told.length > 0 && told.every(hides));
  }
});

test("what stands around a credential in a file is no part of it", () =>
  withKeystead(async (keystead) => {
    keystead.on("POST /v1/verify", [200, YES]);
    const verifier = new Verifier({ url: keystead.url, timeout: PATIENCE, credential: new Secret(` ${CREDENTIAL}\r\n`) });
    assert.ok((await verifier.verify(KEY)).valid);
    assert.equal(keystead.asked[0]?.bearer, CREDENTIAL);
  }));

test("a time that no timer waits for, and an address that would be asked in vain, are said at once", () => {
  for (const timeout of [NaN, 0, -1, Infinity, 2 ** 31]) {
    assert.throws(() => new Verifier({ url: "https://keys.example.com", timeout, credential: CREDENTIAL }), RangeError);
  }
  for (const url of ["https://somebody:secret@keys.example.com", "ftp://127.0.0.1", "https://keys.example.com/?a=b"]) {
    assert.throws(() => new Verifier({ url, credential: CREDENTIAL, allowPlainHttp: true }), (error: Error) => error instanceof RangeError && !error.message.includes("secret"));
  }
});

test("part of a millisecond is no reason to refuse everybody's keys", () =>
  withKeystead(async (keystead) => {
    keystead.on("POST /v1/verify", [200, YES]);
    assert.ok((await new Verifier({ url: keystead.url, timeout: PATIENCE + 0.5, credential: CREDENTIAL }).verify(KEY)).valid);
  }));

test("an answer without end is not kept", () =>
  withKeystead(async (keystead) => {
    for (const status of [200, 500]) {
      let [written, isOver] = [0, false];
      const endless = (response: ServerResponse): void => {
        response.on("close", () => (isOver = true));
        const write = (): void => {
          while (!isOver && written < 400 && response.write(Buffer.alloc(1024 * 1024, " "))) written += 1;
          if (written === 400) response.end();
        };
        response.on("drain", () => ((written += 1), write()));
        write();
      };
      keystead.on("POST /v1/verify", [status, endless]);
      const verdict = await new Verifier({ url: keystead.url, timeout: PATIENCE, credential: CREDENTIAL }).verify(KEY);
      assert.deepEqual([verdict.valid, verdict.status], [false, 503]);
      await until(() => isOver);
      assert.ok(written < 400, "all of it was read");
    }
  }));

test("what JavaScript may give is a key or malformed", () =>
  withKeystead(async (keystead) => {
    const verifier = new Verifier({ url: keystead.url, timeout: PATIENCE, credential: CREDENTIAL });
    for (const text of [null, [KEY, KEY], 7, {}] as never[]) {
      assert.deepEqual([await verifier.verify(text), ...(await verifier.verifyMany([{ key: text }]))].map((each) => !each.valid && each.reason), ["malformed", "malformed"]);
    }
    assert.deepEqual(keystead.asked, []);
  }));

test("whoever wants to know is told why nobody could be asked, and ends nothing by it", () =>
  withKeystead(async (keystead) => {
    keystead.on("POST /v1/verify", [200, "<html>"]);
    keystead.on("POST /v1/verify:batch", problem("too_many_requests", 429));
    const told: unknown[] = [];
    const onTrouble = (error: unknown): void => {
      told.push((error as KeysteadError).code);
      throw new Error("the log is full");
    };
    const verifier = new Verifier({ url: keystead.url, timeout: PATIENCE, credential: CREDENTIAL, onTrouble });
    assert.equal((await verifier.verify(KEY)).status, 503);
    assert.equal((await verifier.verifyMany([{ key: KEY }]))[0]?.status, 503);
    keystead.on("POST /v1/verify", [200, YES]);
    assert.ok((await verifier.verify(KEY)).valid);
    assert.deepEqual(told, ["not_json", "too_many_requests"]);
  }));
