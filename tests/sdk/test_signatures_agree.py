"""Whatever is sent as a signed request, the clients that check in process read it as Keystead's door does, and none falls over."""

from __future__ import annotations

import json
import random
import subprocess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keystead_client import SignedRequest as ClientsRequest
from keystead_client.signature_profile import MalformedSignature as ClientsMalformed
from keystead_client.signature_reading import read_signed as clients_read

from keys.signatures.profile import MalformedSignature
from keys.signatures.reading import HEADERS, SignedRequest, content_digest, read_signed
from tests.keys.signatures.conftest import VECTORS
from tests.sdk.node import CLIENT, need_node

LETTERS = ' "\\;:=(),@-_/+?#\t\n\r\x00éaAzZ019\u2028\u212a'
ODD = st.text(alphabet=LETTERS, max_size=6)
PLACES = ("method", "scheme", "authority", "path", "query", *HEADERS, "body")
CASES = VECTORS["accepted"] + VECTORS["refused"]


def by_the_door(told: dict[str, Any]) -> tuple[Any, ...]:
    body = told["body"].encode()
    facts = {name: value for name, value in told.items() if name != "body"}
    try:
        return tuple(read_signed(SignedRequest(**facts, body_digest=content_digest(body) if body else None)))
    except MalformedSignature as malformed:
        return ("malformed", str(malformed.fault))


def in_process(told: dict[str, Any]) -> tuple[Any, ...]:
    try:
        return tuple(clients_read(ClientsRequest(**{**told, "body": told["body"].encode()})))
    except ClientsMalformed as malformed:
        return ("malformed", str(malformed.fault))


@pytest.mark.parametrize("examples", [100, pytest.param(50_000, marks=pytest.mark.long)])
def test_both_read_the_same_in_whatever_is_sent(examples: int) -> None:
    @settings(max_examples=examples, deadline=None, database=None)
    @given(st.sampled_from(CASES), st.sampled_from(PLACES), st.floats(0, 1), st.integers(0, 4), ODD, st.booleans())
    def change(case: dict[str, Any], place: str, begin: float, cut: int, put: str, as_lines: bool) -> None:
        told = changed(case["request"], place, begin, cut, put, as_lines=as_lines)
        assert in_process(told) == by_the_door(told)

    change()


def changed(request: dict[str, Any], place: str, begin: float, cut: int, put: str, *, as_lines: bool) -> dict[str, Any]:
    """A request with something else in one place, its headers as texts or as lists of the lines that came."""
    told = {**request, "headers": dict(request["headers"])}
    part = told["headers"] if place in HEADERS else told
    before = part.get(place, "")
    if isinstance(before, str):
        at = int(begin * len(before))
        part[place] = before[:at] + put + before[at + cut :]
    if as_lines:
        told["headers"] = {name: [each] if isinstance(each, str) else each for name, each in told["headers"].items()}
    return told


READING = """
import { createInterface } from "node:readline";
const { readSigned } = await import(process.argv[1]);
for await (const line of createInterface({ input: process.stdin })) {
  const { body, ...request } = JSON.parse(line);
  let said;
  try {
    const { kid, algorithm, created, nonce, base, signature } = readSigned({ ...request, body: Buffer.from(body) });
    said = [kid, algorithm, created, nonce, base.toString(), `keystead=:${signature.toString("base64")}:`];
  } catch (error) {
    said = ["malformed", error.fault ?? String(error)];
  }
  console.log(JSON.stringify(said));
}
"""


@pytest.mark.parametrize("count", [2_000, pytest.param(300_000, marks=pytest.mark.long)])
def test_the_client_for_typescript_reads_the_same_too(count: int) -> None:
    need_node()
    chosen = random.Random(20_261_122)  # the same ones each time
    told = [case["request"] for case in CASES]
    while len(told) < count:
        place, put = chosen.choice(PLACES), "".join(chosen.choices(LETTERS, k=chosen.randrange(4)))
        how = {"as_lines": chosen.random() < 0.5}
        told.append(changed(chosen.choice(CASES)["request"], place, chosen.random(), chosen.randrange(4), put, **how))
    script = ["node", "--input-type=module", "--eval", READING, (CLIENT / "dist/src/signatureReading.js").as_uri()]
    lines = "\n".join(map(json.dumps, told))
    done = subprocess.run(script, input=lines, capture_output=True, text=True, timeout=200, check=True)
    said = [tuple(json.loads(line)) for line in done.stdout.splitlines()]
    assert len(said) == len(told)
    for request, here in zip(told, said, strict=True):
        assert here == tuple(each.decode() if isinstance(each, bytes) else each for each in by_the_door(request)), (
            request
        )
