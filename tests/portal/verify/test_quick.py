"""The quick way says nothing that the careful way would not say."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.people import issued, verifying_credential
from tests.portal.verify.knocking import Door

pytestmark = pytest.mark.usefixtures("sealing")
KEY = "THE KEY"
texts = st.sampled_from(
    [KEY, "x", "", "ü", '"', "a\\b", "orders:read", "GET", "get", "::1", "10.0.0.1", "::ffff:10.0.0.1"]
)
odd = st.one_of(texts, st.none(), st.integers(-2, 2), st.booleans(), st.lists(texts, max_size=2), st.floats(0, 1))
clients = st.one_of(odd, st.dictionaries(st.sampled_from(["address", "user_agent", "instance", "ip"]), odd, max_size=3))
members = st.fixed_dictionaries(
    {},
    optional={
        "key": st.one_of(st.just(KEY), odd),
        "scopes": st.one_of(st.just(["orders:read"]), odd),
        "method": odd,
        "client": clients,
        "more": odd,
    },
)


def twice(body: bytes) -> bytes:
    """Say the first member again: strict readers refuse that."""
    return body[:-1] + b"," + body[1:] if len(body) > 2 else body


@pytest.mark.timeout(120)
def test_the_quick_way_never_differs(tmp_path, world):
    secret = issued(world)[2].reveal()
    door = Door(tmp_path, verifying_credential(world).reveal())
    quick = door.application._quick.verify
    answered = 0

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(members, st.booleans(), st.booleans())
    @example({"key": KEY}, False, False)
    @example({"key": KEY}, True, False)
    @example({"key": KEY, "client": {"address": "10.0.0.1"}}, True, True)
    def alike(value, ascii_only, repeated):
        nonlocal answered
        body = json.dumps(value, ensure_ascii=ascii_only).encode().replace(KEY.encode(), secret.encode())
        body = twice(body) if repeated else body
        answers = []
        for way in (quick, lambda *_: None):
            door.application._quick.verify = way
            answers.append(door.ask("/v1/verify", body))
        first, second = answers
        answered += first.json.get("valid") is True
        assert first.status == second.status
        assert first.json | {"verified_at": 0, "request_id": 0} == second.json | {"verified_at": 0, "request_id": 0}

    alike()
    assert answered, "the quick way was never taken"
