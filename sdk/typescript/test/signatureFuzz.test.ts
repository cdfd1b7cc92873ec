import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, sign } from "node:crypto";
import { test } from "node:test";

import { KeysteadError, type SignedRequest } from "../src/index.js";
import { MalformedSignature } from "../src/signatureProfile.js";
import { readSigned } from "../src/signatureReading.js";
import { readSnapshot } from "../src/snapshots.js";
import { signerRecord } from "./fakeFeed.js";
import { vectors } from "./fakeKeystead.js";
import { believing, judged, received, remembering, stateOf } from "./signing.js";

/* eslint-disable @typescript-eslint/no-explicit-any -- anything is what may come */
const { accepted, refused, keys } = vectors("signed_requests");
const CASES: any[] = [...accepted, ...refused];
const SEED = Number(process.env["KEYSTEAD_FUZZ_SEED"] ?? 1);
const TURNS = Number(process.env["KEYSTEAD_FUZZ_TURNS"] ?? 2000);
const ODD = [...' "\\;:=(),@-_/+?#\t\n\r\0éaAzZ019\u2028\ud800K'];
const ANYTHING = [undefined, null, "", 0, 1.5, Number.NaN, true, [], [""], ["", ""], [1], {}, "keystead", ["a", "b"], [null]];

/** The same numbers each time, so that what failed fails again (mulberry32). */
function chance(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

test("whatever is sent is refused by a verdict or in the client's own words, and what was changed is never valid", async () => {
  const below = chance(SEED);
  const one = <T>(all: readonly T[]): T => all[below(all.length)] as T;
  const held = { ...keys.pair, retires: false, ends_at: 2_000_000_000_000, warned: null };
  const state = stateOf([{ ...held, policy: { scopes: [], networks: [], owner_team: "t", service: "s", environment: "prod" } }]);
  const places = ["method", "scheme", "authority", "path", "query", "body", "signature-input", "signature", "content-type", "content-digest", "headers"];
  const told: Record<string, number> = {};
  for (let turn = 0; turn < TURNS; turn++) {
    const vector = one(CASES);
    const request: any = { ...received(vector.request), headers: { ...vector.request.headers } };
    const place = one(places);
    const part = place.includes("-") || place === "signature" ? request.headers : request;
    const before = place === "body" ? vector.request.body : part[place];
    let after: unknown = one(ANYTHING);
    if (typeof before === "string" && below(4) > 0) {
      const at = below(before.length + 1);
      after = before.slice(0, at) + Array.from({ length: below(4) }, () => one(ODD)).join("") + before.slice(at + below(3));
    }
    part[place] = place === "body" && typeof after === "string" ? Buffer.from(after) : after;
    const outcome = await judged(request as SignedRequest, believing(state, vector.now * 1000), remembering(vector.now * 1000)).then(
      ({ said }) => said,
      (error: unknown) => {
        assert.ok(error instanceof KeysteadError, `${String(error)} of ${JSON.stringify([vector.name, place, after])}`);
        assert.equal(error.code, "body_not_bytes");
        return error.code;
      },
    );
    told[outcome] = (told[outcome] ?? 0) + 1;
    if (outcome === "valid") assert.equal(baseOf(request), vector.base, `valid, and not what was signed: ${place} of ${vector.name}`);
  }
  for (const said of ["valid", "signature_malformed", "signature_invalid", "not_in_process", "body_not_bytes"]) assert.ok(told[said], said);
});

function baseOf(request: SignedRequest): string {
  return readSigned(request).base.toString();
}

test("long headers are refused in little time", () => {
  const vector = accepted.find(({ request }: any) => request.body !== "");
  const request = received(vector.request) as any;
  const long = 200_000;
  const began = process.cpuUsage();
  for (const [name, text] of [
    ["content-type", `a${" ".repeat(long)}é`], ["content-digest", `${"\t".repeat(long)}x`], ["signature-input", `keystead=(${'"a" '.repeat(long)}`],
    ["signature-input", `keystead=()${";a".repeat(500)}!`], ["signature", `${"a".repeat(long)}=`],
  ] as const) {
    assert.throws(() => readSigned({ ...request, headers: { ...request.headers, [name]: text } }), MalformedSignature);
  }
  assert.throws(() => readSigned({ ...request, path: `/${"a".repeat(long)}` }), new MalformedSignature("target"));
  assert.ok(process.cpuUsage(began).user < 500_000, "microseconds");
});

test("a snapshot that is signed, and of another shape, is refused as a whole", () => {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const trusted = { k: String(publicKey.export({ format: "jwk" }).x) };
  const policy = { scopes: [], networks: [], owner_team: "t", service: "s", environment: "prod" };
  const [a, b] = ["a", "b"].map((each) => signerRecord(Buffer.alloc(32), each.repeat(14)));
  const written = (changes: Record<string, unknown>, records: Buffer = Buffer.alloc(0)): Buffer => {
    const header = Buffer.from(JSON.stringify({ kid: "k", position: "1", count: records.length / 64, policies: [policy], warned: {}, ...changes }));
    const length = Buffer.alloc(4);
    length.writeUInt32LE(header.length);
    const content = Buffer.concat([Buffer.from("KSSNAP1\n"), length, header, records]);
    const digest = createHash("sha256").update(content).digest();
    return Buffer.concat([content, sign(null, Buffer.concat([Buffer.from("keystead snapshot v1\n"), digest]), privateKey)]);
  };
  const inBase64 = (...records: (Buffer | undefined)[]): string => Buffer.concat(records as Buffer[]).toString("base64url");
  const snapshot = readSnapshot(written({ signers: inBase64(a, b) }), trusted);
  assert.deepEqual(["a", "b", "c"].map((each) => snapshot.findSigner(each.repeat(14))?.entry.kid), ["a".repeat(14), "b".repeat(14), undefined]);
  assert.equal(snapshot.findSigner("a".repeat(17)), undefined);
  for (const odd of [
    { signers: inBase64(b, a) }, { signers: inBase64(a, a) }, { signers: inBase64(a).slice(0, -2) }, { signers: `${inBase64(a)}=` }, { signers: 1 },
    { signers: inBase64(signerRecord(Buffer.alloc(32), "a".repeat(14), { policy: 1 })) }, { policies: null }, { policies: [1] }, { policies: [{}] },
    { policies: [{ ...policy, window: "60" }] }, { policies: [{ ...policy, networks: ["x"] }] }, { policies: [{ ...policy, scopes: 1 }] },
    { warned: null }, { count: "0" }, { count: 1 }, { kid: 1 },
  ]) {
    assert.throws(() => readSnapshot(written(odd), trusted), { name: "IntegrityError" }, JSON.stringify(odd));
  }
  assert.throws(() => readSnapshot(written({ policies: [] }, signerRecord(Buffer.alloc(32), "a".repeat(14))), trusted), { name: "IntegrityError" });
  assert.ok((readSnapshot(written({ policies: [{ ...policy, window: 9999 }], signers: inBase64(a) }), trusted).findSigner("a".repeat(14))?.entry.policy.window ?? 0) <= 120);
});
