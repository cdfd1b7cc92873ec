"""The quick way to read a payload never says anything else than the careful one, whatever the bytes."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import clock, projection
from audit.actor import Actor, ActorKind, Auth, RequestFacts
from audit.canonical import canonical_json
from audit.envelope import commitment, enclose
from audit.projection import COLUMNS, read_payload
from tests.audit.things import ThingChanged

ACTOR = Actor(
    kind=ActorKind.PERSON,
    id="a-1",
    session="5e" * 32,
    auth=Auth(mfa=True, methods=("password", "passkey"), device="d-1", assurance="aal2"),
    http=RequestFacts(id="r-1", method="POST", route="/things/<int:number>"),
    on_behalf_of=Actor.job("clock"),
)
ENVELOPE = json.loads(
    '{"action":"thing.changed","actor":{"id":"a-1","session":"5e","type":"person"},"app":"0.1.0","approvals":["x"],'
    '"auth":{"age":17,"assurance":"aal2","device":"d","methods":["password","passkey"],"mfa":true},'
    '"change":{"scopes":[["a"],["a","b"]],"limits":[null,{"per_second":5}],"words":["say \\"no\\"","\\\\"]},'
    '"correlation":"","details":{"count":3,"names":["Zo\u00eb"]},"environment":"prod","on_behalf_of":{"id":"p","type":"job"},'
    '"outcome":"success","policy":{"rule":"r","version":"1"},"private":{"alg":"sha-256","commitment":"'
    + "ab"
    * 32
    + '"},'
    '"reason":"","request":{"id":"r-1","method":"POST","route":"/x","task":""},"severity":"informational",'
    '"target":{"id":"t-1","type":"thing","version":"2"},"time":"2026-01-01T00:00:00.123Z",'
    '"uid":"01890c24-905a-7cbd-8f4e-6a1f0a1b2c3d","version":1}'
)
PAYLOAD = canonical_json(ENVELOPE)


def said(payload: bytes, *, carefully: bool) -> object:
    try:
        return projection._carefully(payload) if carefully else read_payload(payload)
    except ValueError:
        return None


def replaced(old: str, new: str) -> bytes:
    assert PAYLOAD.count(old.encode()) == 1
    return PAYLOAD.replace(old.encode(), new.encode())


def test_what_the_log_writes_is_read_the_quick_way(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    at = clock.now()
    event = ThingChanged(target_id="t-1", comment="words", environment="dev")
    sealed = enclose(event, actor=ACTOR, at=at)
    expected = said(sealed.payload, carefully=True)
    with monkeypatch.context() as only_quickly:
        only_quickly.setattr(projection, "_carefully", lambda payload: pytest.fail("the pattern does not know it"))
        told, committed = read_payload(sealed.payload)
        assert read_payload(PAYLOAD)[1] == "ab" * 32
    assert (told, committed) == expected
    assert committed == commitment(sealed.salt, sealed.body)
    columns = dict(zip(COLUMNS, told, strict=True))
    assert (columns["actor_id"], columns["target_id"], columns["environment"]) == ("a-1", "t-1", "dev")
    assert (columns["uid"], columns["request_id"]) == (str(sealed.uid), "r-1")
    assert dataclasses.asdict(event)["target_id"] == "t-1"


@pytest.mark.parametrize(
    "payload",
    [
        replaced('"count":3', '"count":3,"count":3'),
        replaced('"count":3', '"count":9007199254740992'),
        replaced('"count":3', '"count":1.5'),
        replaced('"count":3', '"count":"\\u0000"'),
        replaced('"count":3', '"count":"\\ud800"'),
        replaced('"count":3', '"count":"\x01"'),
        replaced('"count":3', f'"count":{"[" * 9}{"]" * 9}'),
        replaced('"count":3', '"count":03'),
        replaced('"id":"t-1"', '"id":"t-\x01"'),
        replaced('{"id":"t-1"', '{"id":"other","id":"t-1"'),
        replaced('"version":1}', '"version":1,"version":1}'),
        PAYLOAD + b"{}",
        PAYLOAD.replace("\u00eb".encode(), b"\xff"),
    ],
)
def test_what_can_be_read_in_two_ways_is_no_event_either_way(payload: bytes) -> None:
    assert said(payload, carefully=False) is None
    assert said(payload, carefully=True) is None


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_no_bytes_make_the_two_ways_differ(data: st.DataObject) -> None:
    payload = bytearray(PAYLOAD)
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(payload)))
        end = data.draw(st.integers(start, min(len(payload), start + 40)))
        other = data.draw(st.integers(0, len(payload)))
        piece = data.draw(
            st.sampled_from(
                [b"", b'"', b"\\", b",", b'"id":"x",', b"{}", b"0", b"\x00", b"\xc3", b" ", payload[other : other + 30]]
            )
        )
        payload[start:end] = piece
    assert said(bytes(payload), carefully=False) == said(bytes(payload), carefully=True)
