import assert from "node:assert/strict";
import { test } from "node:test";

import { Limits } from "../src/limits.js";
import { vectors } from "./fakeKeystead.js";

const DAY = 86_400_000;
const BEGIN = 20_000 * DAY;

function ask(limits: Limits, at: number, times: number, most: { perMinute?: number | undefined; perDay?: number | undefined }): string[] {
  const { perMinute, perDay } = most;
  return Array.from({ length: times }, () => limits.refusal("k", { perMinute, perDay }, at) ?? "valid");
}

interface Case {
  name: string;
  limits: { requests_per_minute?: number; requests_per_day?: number };
  asked: [at: number, times: number, accepted: number][];
}

test("instants of the vectors are answered as the portal answers them", () => {
  for (const { name, limits: most, asked } of vectors("limits").cases as Case[]) {
    const limits = new Limits();
    for (const [at, times, accepted] of asked) {
      const said = ask(limits, BEGIN + at * 1000, times, { perMinute: most.requests_per_minute, perDay: most.requests_per_day });
      assert.equal(said.filter((each) => each === "valid").length, accepted, `${name}, at ${at}`);
    }
  }
});

test("a minute slides", () => {
  const limits = new Limits();
  assert.deepEqual(ask(limits, BEGIN + 59_000, 3, { perMinute: 2 }), ["valid", "valid", "rate_limit"]);
  assert.deepEqual(ask(limits, BEGIN + 60_000, 1, { perMinute: 2 }), ["rate_limit"], "no second helping at the turn");
  assert.deepEqual(ask(limits, BEGIN + 119_000, 1, { perMinute: 2 }), ["rate_limit"], "nor within sixty seconds");
  assert.deepEqual(ask(limits, BEGIN + 120_000, 3, { perMinute: 2 }), ["valid", "valid", "rate_limit"]);
  assert.equal(limits.refusal("other", { perMinute: 1, perDay: undefined }, BEGIN + 90_000), undefined);
});

test("a day begins at midnight, and a clock that is set back gives no second helping", () => {
  const limits = new Limits();
  assert.deepEqual(ask(limits, BEGIN, 3, { perDay: 2 }), ["valid", "valid", "quota"]);
  assert.deepEqual(ask(limits, BEGIN + DAY - 1, 1, { perDay: 2 }), ["quota"]);
  assert.deepEqual(ask(limits, BEGIN + DAY, 3, { perDay: 2 }), ["valid", "valid", "quota"]);
  assert.deepEqual(ask(limits, BEGIN + DAY - 1, 1, { perDay: 2 }), ["quota"]);
});
