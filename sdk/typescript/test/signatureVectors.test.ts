import assert from "node:assert/strict";
import { test } from "node:test";

import { MalformedSignature } from "../src/signatureProfile.js";
import { readSigned } from "../src/signatureReading.js";
import { receivedDigest } from "../src/signedRequests.js";
import { vectors } from "./fakeKeystead.js";
import { believing, type Held, judged, received, remembering, stateOf } from "./signing.js";

/* eslint-disable @typescript-eslint/no-explicit-any -- the shape is the file's */
const { signers, signed_cases: SIGNED } = vectors("verification");
const FORMS = vectors("signed_requests");
const POLICY = { scopes: [], networks: [], owner_team: "t", service: "orders", environment: "prod" };
const STATE = stateOf(signers.filter(({ held }: any) => held !== null).map((each: any) => ({ ...each, ...each.held }) as Held));

test("a signed request gets the verdict of the vector, which tests the portal and the client for Python too", async (each) => {
  assert.equal(SIGNED.length, 64);
  for (const vector of SIGNED) {
    await each.test(vector.says, async () => {
      const nonces = remembering(vector.at);
      const said = async (one: any) => {
        const client = one.address === null ? {} : { client: { address: one.address } };
        return judged(received(one.request), believing(STATE, one.at), nonces, { scopes: one.scopes, ...client });
      };
      if (vector.after !== undefined) await said(SIGNED.find(({ says }: any) => says === vector.after));
      const { said: verdict, fault, serverTime } = await said(vector);
      assert.deepEqual([verdict, fault], [vector.in_process ?? vector.verdict, vector.fault ?? ""]);
      assert.equal(serverTime, verdict === "valid" ? undefined : Math.floor(vector.at / 1000));
    });
  }
});

test("the form is that of the vectors", async (each) => {
  const { kid, public_key } = FORMS.keys.pair;
  const states = new Map([60, 30].map((window) => {
    const held = { kid, public_key, retires: false, ends_at: 2_000_000_000_000, warned: null, policy: { ...POLICY, window } };
    return [window, stateOf([held])];
  }));
  for (const vector of [...FORMS.accepted, ...FORMS.refused]) {
    await each.test(vector.name, async () => {
      let wanted = vector.reason ?? "valid";
      if (wanted !== "signature_malformed" && String(vector.request.headers["signature-input"]).includes('alg="hmac-sha256"')) {
        // A policy's own window is known of held keys alone.
        const { created } = readSigned(received(vector.request));
        if (vector.now - 120 < created && created <= vector.now + 5) wanted = "not_in_process";
      }
      const at = vector.now * 1000;
      const { said, fault } = await judged(received(vector.request), believing(states.get(vector.window ?? 60)!, at), remembering(at));
      assert.deepEqual([said, fault], [wanted, vector.fault ?? ""]);
    });
  }
});

test("what was signed is what the vectors say", () => {
  for (const { name, request, base } of FORMS.accepted) assert.equal(readSigned(received(request)).base.toString(), base, name);
});

test("a digest stands for a body that is not held whole, and what is no bytes is not taken for none", () => {
  const { request } = SIGNED.find(({ says }: any) => says === "with a body");
  const { body, ...rest } = received(request);
  const bodyDigest = receivedDigest({ ...rest, body: body! });
  assert.deepEqual(readSigned({ ...rest, bodyDigest }), readSigned({ ...rest, body: body! }));
  for (const none of [{}, { body: Buffer.alloc(0) }, { bodyDigest: "" }]) {
    assert.throws(() => readSigned({ ...rest, ...none }), new MalformedSignature("digest_mismatch"));
  }
  for (const parsed of [{ amount: "12.50" }, "text", new ArrayBuffer(3), 0]) {
    assert.throws(() => readSigned({ ...rest, body: parsed as never }), { name: "Unsafe", code: "body_not_bytes" });
  }
});
