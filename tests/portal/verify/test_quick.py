"""The quick way says nothing that the careful way would not say, and remembers nothing that could be out of date."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from keys.crypto.key_text import mint
from keys.lifecycle.revocation import revoke_key
from keys.models import ManagedKey, Sighting
from keys.monitoring.tally_files import add_files
from keys.states import RevocationReason
from keys.verification.memory.loading import inside
from keys.verification.memory.snapshot import Entry, Grant, Place
from portal.verify.introspection import meaning_of
from portal.verify.quick import verdicts as quick_verdicts
from tests.people import acting, issued, verifying_credential
from tests.portal.verify.doors import FORM
from tests.portal.verify.knocking import Door
from tests.uses import uses_of

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
        "scopes": st.one_of(st.sampled_from([0, 1, 100, 101]).map(["orders:read"].__mul__), odd),
        "method": odd,
        "client": clients,
        "more": odd,
    },
)
words = st.sampled_from(
    ["token", "=", "&", KEY, "token_type_hint", "access_token", "%6b", "+", ";", "ü", "\n", "x", "\0"]
)
forms = st.one_of(
    st.sampled_from([f"token={KEY}", f"token={KEY}&token_type_hint=access_token", f"token_type_hint=x&token={KEY}"]),
    st.lists(words, max_size=8).map("".join),
)
addresses = st.sampled_from([None, "", "10.1.2.3", " 10.1.2.3", "::ffff:10.1.2.3", "192.0.2.1", "x", "10.1.2.3, ::1"])


@pytest.fixture
def key(world):
    return issued(world)


@pytest.fixture
def door(tmp_path, world, key):
    return Door(tmp_path, verifying_credential(world).reveal())


def twice(body: bytes) -> bytes:
    """Say the first member again: strict readers refuse that."""
    return body[:-1] + b"," + body[1:] if len(body) > 2 else body


def both_ways(door, path, body, **environ):
    """The answers of the quick way and of the careful one, and whether the quick one was taken."""
    ways = door.application.quick
    before = ways[path].answers
    first = door.ask(path, body, **environ)
    taken = ways[path].answers > before
    door.application.quick = {}
    second = door.ask(path, body, **environ)
    door.application.quick = ways
    return first, second, taken


def are_alike(first, second):
    assert (first.status, first.headers) == (second.status, second.headers)
    assert first.json | {"verified_at": 0, "request_id": 0} == second.json | {"verified_at": 0, "request_id": 0}


def examples(most):
    return settings(max_examples=most, deadline=None, suppress_health_check=list(HealthCheck), database=None)


@pytest.mark.timeout(120)
def test_the_quick_way_never_differs(door, key):
    answered = 0

    @examples(150)
    @given(members, st.booleans(), st.booleans())
    @example({"key": KEY}, False, False)
    @example({"key": KEY}, True, False)
    @example({"key": ""}, False, False)
    @example({"key": "a\nb"}, False, False)
    @example({"key": KEY, "client": {"address": "10.0.0.1"}}, True, True)
    @example({"key": KEY, "scopes": ["orders:read"] * 101}, True, False)
    def alike(value, ascii_only, repeated):
        nonlocal answered
        body = json.dumps(value, ensure_ascii=ascii_only).encode().replace(KEY.encode(), key[2].reveal().encode())
        first, second, taken = both_ways(door, "/v1/verify", twice(body) if repeated else body)
        are_alike(first, second)
        answered += taken and first.json["valid"]

    alike()
    assert answered, "the quick way was never taken"


def test_the_quick_way_of_introspection_never_differs(door, world, key):
    networks = issued(world, name="networks", networks=("10.1.0.0/16",))[2].reveal()
    ended = issued(world, name="ended")
    revoke_key(ended[0], actor=acting(world.responder, "revoke"), reason=RevocationReason.KEY_COMPROMISE)
    elsewhere = issued(world, name="elsewhere", environment="test", cryptoperiod_days=10)[2].reveal()
    door.feed.tick()
    presented = [key[2].reveal(), networks, ended[2].reveal(), elsewhere, door.credential, mint("prod").secret.reveal()]
    answered = set()

    @examples(150)
    @given(forms, st.sampled_from(presented), addresses)
    @example(f"token={KEY}", presented[0], None)
    @example(f"token={KEY}", presented[2], "192.0.2.1")
    def alike(form, text, address):
        body = form.replace(KEY, text).encode()
        sent = {"CONTENT_TYPE": FORM, "HTTP_KEYSTEAD_CLIENT_ADDRESS": address}
        first, second, taken = both_ways(door, "/oauth2/introspect", body, **sent)
        are_alike(first, second)
        if first.status == 200:
            assert first.body == second.body
        answered.add((taken, first.json.get("active")))

    alike()
    for text in presented:
        first, second, taken = both_ways(door, "/oauth2/introspect", f"token={text}".encode(), CONTENT_TYPE=FORM)
        assert (taken, first.body) == (True, second.body)
    for after in ("%61", "+", "&", "&token=x", "&odd=1", "&token_type_hint=a&token_type_hint=b", "\n", "ü"):
        body = f"token={key[2].reveal()}{after}".encode()
        are_alike(*both_ways(door, "/oauth2/introspect", body, CONTENT_TYPE=FORM)[:2])
    assert {(True, True), (True, False), (False, None)} <= answered


def test_a_meaning_is_what_was_written_of_the_key(settings):
    settings.KEYSTEAD_PUBLIC_URL = "https://keys.example.com"
    place = Place(uuid4(), uuid4(), service="orders", environment="prod")
    for name in ("plain", 'x",', '","consumer":"', '"name":"', "\\", 'a\\",', "\u00fc\u2028", "{}%s"):
        shared = {"service": "orders", "environment": "prod", "scopes": ["orders:read", "orders:write"]}
        grant = Grant(place, "bearer", uuid4(), (), (), told=inside({**shared, "owner_team": name}))
        own = {"kid": "k1", "key": "KEY-7", "name": name, "consumer": name, "expires_at": None}
        entry = Entry(uuid4(), uuid4(), inside(own), grant, 0.0, 1_800_000_000.9)
        assert json.loads(meaning_of(entry)) == {
            "active": True,
            "scope": "orders:read orders:write",
            "client_id": "KEY-7",
            "sub": "KEY-7",
            "username": name,
            "token_type": "Bearer",
            "aud": "orders",
            "iss": "https://keys.example.com",
            "jti": "k1",
            "exp": 1_800_000_000,
        }


def test_what_was_read_before_never_outlives_a_revocation(door, world, key):
    text, around = key[2].reveal(), {"scopes": ["orders:read"], "client": {"address": "10.0.0.1"}}
    form = {"CONTENT_TYPE": FORM}
    for _ in range(2):
        assert door.verify(text, **around)["valid"] is True
        assert door.introspect(text).json["active"] is True
    revoke_key(key[0], actor=acting(world.responder, "revoke"), reason=RevocationReason.KEY_COMPROMISE)
    door.feed.tick()
    for body in ({"key": text}, {"key": text, **around}):
        first, second, taken = both_ways(door, "/v1/verify", json.dumps(body).encode())
        assert (taken, first.json) == (True, {"valid": False, "reason": "compromised"})
        are_alike(first, second)
    first, _, taken = both_ways(door, "/oauth2/introspect", f"token={text}".encode(), **form)
    assert (taken, first.body) == (True, b'{"active":false}')


def test_other_bytes_are_read_anew(door, world, key):
    text, other = key[2].reveal(), issued(world, name="networks", networks=("10.1.0.0/16",))[2].reveal()
    door.feed.tick()
    network = {"valid": False, "reason": "network"}
    inner, outer = '"client":{"address":"10.1.2.3"}', '"client": {"address": "192.0.2.1"}'
    for _ in range(2):  # the second time all of them are remembered
        for body, said in (
            (f'{{"key":"{text}"}}', None),
            (f'{{"key": "{text}"}}', None),
            (f'{{"key":"{text}" }}', None),
            (f'{{"key":"{text}","scopes":["orders:read"]}}', None),
            (f'{{"key":"{text}","scopes":["orders:write"]}}', {"valid": False, "reason": "scope"}),
            (f'{{"key":"{other}"}}', network),
            (f'{{"key":"{other}",{inner}}}', None),
            (f'{{"key":"{other}",{outer}}}', network),
            (f'{{"key":"\\u006b{text[1:]}"}}', None),
            (f'{{{outer},"key":"{other}"}}', network),
            (f'{{{inner},"key":"{other}"}}', None),
        ):
            first, second, _ = both_ways(door, "/v1/verify", body.encode())
            are_alike(first, second)
            assert first.json["valid"] is True if said is None else first.json == said, body
    for byte in (b"\n", b"\x00", b"\xff", b"\xc3\xbc", b"\x7f"):
        are_alike(*both_ways(door, "/v1/verify", b'{"key":"a%sb"}' % byte)[:2])


def test_what_is_remembered_is_bounded_and_holds_no_key(door, key, monkeypatch):
    monkeypatch.setattr(quick_verdicts, "MOST_REMEMBERED", 8)
    remembered = door.application.quick["/v1/verify"]._around
    text = key[2].reveal()
    for number in range(20):
        assert door.verify(text, client={"instance": f"pod-{number}"})["valid"] is True
        assert 0 < len(remembered) <= 8
    assert all(client[2].startswith("pod-") for _, client in remembered.values())
    remembered.clear()
    assert door.verify(text, client={"user_agent": "a" * 200, "instance": "b" * 100}, scopes=["orders:read"] * 30)[
        "valid"
    ]
    assert not remembered, "longer than what is worth it"
    refused = f'{{"key":"x","key":"{text}"}}'.encode(), f'{{"key":"x","more":"{text}"}}'.encode()
    assert [door.ask("/v1/verify", body).status for body in refused] == [400, 422]
    door.verify(text)
    assert list(remembered) == [b"}"]


def test_what_a_caller_shows_is_remembered_until_the_next_turn_and_opens_nothing(door, world, key):
    """Only of callers that were answered; and each question asks anew whether they may ask."""
    quick = door.application.quick["/v1/verify"]
    body = json.dumps({"key": key[2].reveal()}).encode()
    for odd in (f"Bearer {mint('prod').secret.reveal()}", f"Bearer {key[2].reveal()}", f"bearer {door.credential}"):
        door.ask("/v1/verify", body, HTTP_AUTHORIZATION=odd)
        assert quick._names == {}, odd
    before = quick.answers
    for _ in range(2):
        assert door.ask("/v1/verify", body).json["valid"] is True
    assert quick.answers == before + 2
    assert list(quick._names) == [f"Bearer {door.credential}"]
    door.application.forget()
    assert quick._names == {}
    assert door.ask("/v1/verify", body).json["valid"] is True
    asks = ManagedKey.objects.get(service__slug="keystead")
    revoke_key(asks, actor=acting(world.responder, "revoke"), reason=RevocationReason.KEY_COMPROMISE)
    door.feed.tick()
    assert list(quick._names) == [f"Bearer {door.credential}"], "remembered, and not believed"
    assert door.ask("/v1/verify", body).status == 401


def test_introspection_is_counted_like_every_question(door, key, tmp_path):
    for address in ("10.0.0.1", "10.0.0.1", None):
        door.introspect(key[2].reveal(), HTTP_KEYSTEAD_CLIENT_ADDRESS=address)
    assert door.application.quick["/oauth2/introspect"].answers == 3
    door.tallies.close()
    assert add_files(tmp_path) == 3 + 3, "and each time the caller"
    assert uses_of(key[1]) == {"valid": 3}
    seen = Sighting.objects.filter(version=key[1]).values_list("address", "count")
    assert sorted(seen, key=str) == [("10.0.0.1", 2), (None, 1)]
