"""Whatever is sent as a signed request, the client that checks in process reads it as Keystead's door does, and neither falls over."""

from __future__ import annotations

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

ODD = st.text(alphabet=' "\\;:=(),@-_/+?#\t\n\x00éaAzZ019', max_size=6)
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
        told = {**case["request"], "headers": dict(case["request"]["headers"])}
        part = told["headers"] if place in HEADERS else told
        before = part.get(place, "")
        if isinstance(before, str):
            at = int(begin * len(before))
            part[place] = before[:at] + put + before[at + cut :]
        if as_lines:
            told["headers"] = {
                name: [each] if isinstance(each, str) else each for name, each in told["headers"].items()
            }
        assert in_process(told) == by_the_door(told)

    change()
