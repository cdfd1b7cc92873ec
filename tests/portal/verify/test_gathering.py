"""Many signed requests are spent in one exchange: each has the answer that it would have had alone, and nobody waits for nothing."""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from audit import clock
from keys.lifecycle.revocation import revoke_key
from keys.models import ManagedKey
from keys.monitoring.tally_files import add_files
from keys.nonces.in_database import NoncesInDatabase
from keys.nonces.in_force import StoreInForce
from keys.nonces.in_valkey import NoncesInValkey
from keys.nonces.spending import Nonces
from keys.states import RevocationReason
from keys.verification.counting.tallies import Tallies
from keys.verification.memory.snapshot import NEVER
from keys.verification.standing import standing_of
from portal.verify import gathering, signed
from portal.verify.gathering import Gathering
from portal.verify.reading import Refused
from portal.verify.serving.carrying import carried
from tests.people import acting, verifying_credential
from tests.portal.verify.knocking import Door
from tests.portal.verify.signed_questions import CHANGES, WRONG, now, received
from tests.signing_keys import allow_signing, signer_of
from tests.uses import uses_of

pytestmark = pytest.mark.usefixtures("sealing", "settled_nonces")
PATH = "/v1/verify-signature"


class Connection:
    """What granian gives with a request: whoever has it may answer, once."""

    def __init__(self) -> None:
        self.is_answered = threading.Event()
        self.status = 0
        self.headers: dict[str, str] = {}
        self.json: dict[str, Any] = {}

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        assert not self.is_answered.is_set()
        self.status, self.headers, self.json = status, dict(headers), json.loads(body)
        self.is_answered.set()

    @property
    def said(self) -> str:
        assert self.is_answered.wait(60), "nobody answered"
        return "valid" if self.json.get("valid") else self.json.get("reason") or self.json["code"]


class Gathered(Door):
    """A door whose signed requests wait until the test lets them be answered."""

    def __init__(self, folder: Any, credential: str, nonces: Nonces) -> None:
        super().__init__(folder, credential)
        self.others = Tallies(folder)
        nonces.renew()
        self.gathering = Gathering(self.application.memory, nonces, self.others)
        self.application.memory.gathering = self.gathering
        self._answer = carried(self.application)

    def sends(self, question: object) -> Connection:
        self.stay_fresh()
        raw, connection = json.dumps(question).encode(), Connection()
        scope = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": PATH,
            "QUERY_STRING": "",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(raw)),
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.input": io.BytesIO(raw),
            "HTTP_AUTHORIZATION": f"Bearer {self.credential}",
        }
        self._answer(connection, scope)
        return connection


def stores(*, capacity: int = 1000) -> Nonces:
    return Nonces(NoncesInValkey(os.environ["REDIS_URL"], capacity=capacity), NoncesInDatabase(), StoreInForce())


@pytest.fixture
def signer(world):
    allow_signing(world)
    return signer_of(world, "hmac-sha256")


@pytest.fixture
def door(tmp_path, world, signer) -> Iterator[Gathered]:
    door = Gathered(tmp_path, verifying_credential(world).reveal(), stores())
    yield door
    if door.gathering._thread.is_alive():
        door.gathering.stop()


def test_of_many_at_once_each_has_its_own_answer(door, signer, tmp_path):
    captured, once = received(signer), received(signer, method="GET", body=b"")
    connections = [door.sends(each) for each in (captured, once, captured)]
    assert not any(each.is_answered.is_set() for each in connections), "the thread that answers waited for a nonce"
    assert door.verify("x") == {"valid": False, "reason": "malformed"}, "and answers others meanwhile"
    door.gathering.start()
    assert [each.said for each in connections] == ["valid", "valid", "replay"]
    assert connections[0].json["kid"] == signer.version.kid
    assert connections[0].headers["Cache-Control"] == "no-store"
    assert connections[2].json.keys() == {"valid", "reason", "server_time"}
    assert [door.sends(each).said for each in (captured, received(signer))] == ["replay", "valid"]
    assert b'endpoint="/v1/verify-signature",status="200 gathered"' in door.ask("/metrics", method="GET").body
    door.gathering.stop()
    for each in (door.tallies, door.others):
        each.close()
    add_files(tmp_path)
    assert uses_of(signer.version) == {"valid": 3, "replay": 2}


def test_who_answers_later_says_what_would_be_said_at_once(door, signer):
    door.gathering.start()
    for name, change in CHANGES.items():
        question = received(signer)
        change(question)
        answer = door.ask(PATH, question)
        later = door.sends(question)
        assert later.said, name
        assert later.json | {"server_time": 0} == answer.json | {"server_time": 0}, name
    for change, _ in WRONG:
        question = received(signer) | change
        answer, later = door.ask(PATH, question), door.sends(question)
        assert (later.said, later.json["errors"]) == (answer.json["code"], answer.json["errors"])


def test_a_store_that_is_full_refuses_those_who_find_no_room(tmp_path, world, signer):
    door = Gathered(tmp_path, verifying_credential(world).reveal(), stores(capacity=2))
    created = now()
    connections = [door.sends(received(signer, created=created)) for _ in range(3)]
    door.gathering.start()
    assert [each.said for each in connections] == ["valid", "valid", "nonce_store_full"]
    assert (connections[2].status, int(connections[2].headers["Retry-After"]) > 1) == (503, True)
    door.gathering.stop()


def test_who_waited_until_memory_was_stale_is_told_nothing_of_it(door, signer):
    connection = door.sends(received(signer))
    for place in door.feed.catalogue.places.values():
        place.fresh_until = NEVER
    door.gathering.start()
    assert (connection.said, connection.status) == ("verifier_stale", 503)


def test_what_was_stopped_before_the_store_answered_is_not_let_in(door, world, signer):
    """The stop was applied, so whoever made it has a receipt: that Valkey took its time changes nothing about it."""
    other = signer_of(world, "ed25519", name="Other")
    door.feed._look()
    waiting = [door.sends(received(each)) for each in (signer, other)]
    revoke_key(signer.key, actor=acting(world.responder, "revoke"), reason=RevocationReason.KEY_COMPROMISE)
    door.feed._look()
    door.gathering.start()
    assert [each.said for each in waiting] == ["compromised", "valid"]


def test_a_signer_that_changed_and_still_may_is_let_in(door, world, signer):
    connection = door.sends(received(signer))
    held = door.feed.snapshot.signers[signer.version.kid]
    door.feed.snapshot.signers[signer.version.kid] = replace(held, limits={"requests_per_day": 5})
    door.gathering.start()
    assert connection.said == "valid"


def test_a_signer_that_ends_before_the_store_answers_is_over(door, signer):
    connection = door.sends(received(signer))
    held = door.feed.snapshot.signers[signer.version.kid]
    door.application.memory._signers[signer.version.kid] = (
        held,
        door.application.memory.entry_of_signer(held),
        replace(standing_of(held), expires=clock.now()),
    )
    door.gathering.start()
    assert connection.said == "expired"


def test_a_caller_that_was_stopped_before_the_store_answered_is_told_nothing(door, world, signer):
    connection = door.sends(received(signer))
    caller = ManagedKey.objects.get(service__slug="keystead")
    revoke_key(caller, actor=acting(world.responder, "revoke"), reason=RevocationReason.KEY_COMPROMISE)
    door.feed._look()
    door.gathering.start()
    assert (connection.said, connection.status) == ("invalid_token", 401)


def test_an_environment_that_wants_no_memory_any_more_is_told_nothing_from_it(door, signer):
    connection = door.sends(received(signer))
    for place in door.feed.catalogue.places.values():
        place.fresh_until, place.staleness = NEVER, 0.0
    door.gathering.start()
    assert (connection.said, connection.status) == ("verifier_stale", 503)


def test_a_mistake_refuses_those_it_meets_and_ends_nothing(door, signer, monkeypatch):
    waiting = [door.sends(received(signer)) for _ in range(2)]
    with monkeypatch.context() as patched:
        patched.setattr(Nonces, "spend_all", lambda *_: 1 / 0)
        door.gathering.start()
        assert [(each.said, each.status) for each in waiting] == [("unavailable", 503)] * 2
    assert door.sends(received(signer)).said == "valid"


def test_where_many_come_at_once_the_other_thread_has_a_moment_and_nobody_waits_alone(door, signer, monkeypatch):
    pauses: list[float] = []
    monkeypatch.setattr(gathering, "sleep", pauses.append)
    waiting = [door.sends(received(signer)) for _ in range(gathering.MANY)]
    door.gathering.start()
    assert [each.said for each in waiting] == ["valid"] * gathering.MANY
    assert door.sends(received(signer)).said == "valid"
    door.gathering.stop()
    assert pauses == [gathering.PAUSE]


def test_who_waits_when_it_stops_is_answered_and_the_next_at_once(door, signer):
    waiting = door.sends(received(signer))
    door.gathering.start()
    door.gathering.stop()
    assert waiting.is_answered.is_set()
    later = door.sends(received(signer))
    assert later.is_answered.is_set()
    assert later.said == "valid"


@pytest.mark.usefixtures("one_day")
def test_a_key_with_limits_waits_like_the_others_and_is_held_to_them(tmp_path, world, signer):
    limited = signer_of(world, "hmac-sha256", name="Limited", limits={"requests_per_day": 2})
    door = Gathered(tmp_path, verifying_credential(world).reveal(), stores())
    captured = received(limited)
    connections = [door.sends(each) for each in (captured, captured, received(limited), received(limited))]
    assert not any(each.is_answered.is_set() for each in connections), "the thread that answers waited for a nonce"
    door.gathering.start()
    door.gathering.stop()
    assert [each.said for each in connections] == ["valid", "replay", "valid", "quota"]
    assert door.sends(received(limited)).said == "quota", "whichever thread counts"


texts = st.sampled_from(
    ["GET", "get", "", "a", "ü", 'say "so"', "back\\slash", '\\"', "api.example.com", "/a", "http", "\n"]
)
odd = st.one_of(texts, st.none(), st.integers(-2, 2), st.booleans(), st.lists(texts, max_size=2), st.floats(0, 1))
headers = st.one_of(
    odd, st.dictionaries(st.sampled_from(["signature", "signature-input", "content-type", "host"]), odd)
)
names = ["method", "authority", "path", "query", "scheme", "body_digest", "scopes", "client", "more"]
members = st.fixed_dictionaries({}, optional={**dict.fromkeys(names, odd), "headers": headers})
GOOD = {"method": "POST", "authority": "api.example.com", "path": "/a", "headers": {"signature": 'a "b"'}}
good = st.just(GOOD)


@given(
    st.one_of(good, members, st.tuples(good, members).map(lambda both: {**both[0], **both[1]})),
    st.booleans(),
    st.booleans(),
)
@example(GOOD | {"path": ["/a"]}, True, False)  # as many quotation marks as a text
@example(GOOD | {"headers": {"signature": ["a"]}}, True, False)
@example(GOOD, True, True)
def test_a_plain_question_is_read_as_the_careful_way_reads_it(value, ascii_only, repeated):
    body = json.dumps(value, ensure_ascii=ascii_only).encode()
    if repeated and len(body) > 2:
        body = body[:-1] + b"," + body[1:]
    plain = signed._plain(body)
    if plain is None:
        return
    try:
        careful, question = signed._carefully(body, "application/json")
    except Refused as refused:
        pytest.fail(f"the careful way refuses: {refused.code} {refused.errors}")
    assert plain == careful
    assert (question.scopes, question.client) == (signed._NOTHING_MORE.scopes, signed._NOTHING_MORE.client)


def test_the_ordinary_question_is_plain(signer, world):
    assert signed._plain(json.dumps(received(signer)).encode()) is not None
