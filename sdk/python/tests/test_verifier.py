"""The remote verifier: what it asks, what it understands, and that everything unclear is a refusal."""

import asyncio
import threading
import traceback
from datetime import UTC, datetime

import pytest
from fake_keystead import problem, vectors
from keystead_client import (
    AsyncVerifier,
    Client,
    LocalVerifier,
    MalformedKey,
    Question,
    Reason,
    Refused,
    Secret,
    SignedRequest,
    Signer,
    Unsafe,
    Verifier,
)

KEY = vectors("key_text")["valid"][8]["text"]
CREDENTIAL = vectors("key_text")["valid"][6]["text"]
SIGNED = {name.lower(): [line] for name, line in Signer.hmac(KEY).sign("GET", "https://api.example.com/x").items()}
YES = {
    "valid": True, "kid": "8nbmcDHypESyDn", "key": "KEY-7", "name": "Nightly", "service": "orders", "environment": "prod",
    "scopes": ["orders:read"], "owner_team": "reporting", "consumer": "builder",
    "expires_at": "2026-12-22T09:00:00.000Z", "verified_at": "2026-11-22T09:00:00.000Z",
}  # fmt: skip


@pytest.fixture
def verifier(keystead):
    with Verifier(keystead.url, credential=CREDENTIAL) as verifier:
        yield verifier


def test_a_valid_key_is_told_with_all_that_is_known_of_it(keystead, verifier):
    keystead.on("POST /v1/verify", (200, YES))
    client = Client(address="192.0.2.1", user_agent="curl", instance="pod-1")
    verdict = verifier.verify(KEY, scopes=["orders:read"], method="GET", client=client)
    assert verdict
    assert (verdict.status, verdict.kid, verdict.scopes) == (200, "8nbmcDHypESyDn", {"orders:read"})
    assert verdict.expires_at == datetime(2026, 12, 22, 9, tzinfo=UTC)
    (asked,) = keystead.asked
    assert asked.bearer == CREDENTIAL
    assert asked.json == {
        "key": KEY, "scopes": ["orders:read"], "method": "GET",
        "client": {"address": "192.0.2.1", "user_agent": "curl", "instance": "pod-1"},
    }  # fmt: skip


@pytest.mark.parametrize("address", [None, "", "testclient", "fe80::1%eth0", "192.0.2.1 ", "192.0.2.1:80"])
@pytest.mark.parametrize("method", ["", "get", "VERSION-CONTROL", "A" * 21])
def test_what_the_door_does_not_read_is_left_out(keystead, verifier, address, method):
    """A server on a unix socket tells no address, and a stranger may send any method: no reason to refuse everybody's keys."""
    keystead.on("POST /v1/verify", (200, YES))
    assert verifier.verify(KEY, method=method, client=Client(address=address, user_agent="curl"))
    (asked,) = keystead.asked
    assert asked.json == {"key": KEY, "client": {"user_agent": "curl"}}


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("expired", 401),
        ("unknown", 401),
        ("scope", 403),
        ("network", 403),
        ("rate_limit", 429),
        ("stale", 503),
        ("new", 401),
    ],
)
def test_a_refusal_is_false_and_known_by_its_reason(keystead, verifier, reason, status):
    keystead.on("POST /v1/verify", (200, {"valid": False, "reason": reason}))
    verdict = verifier.verify(KEY)
    assert not verdict
    assert (verdict.reason, verdict.status) == (reason, status)


@pytest.mark.parametrize(
    "answer",
    [
        (200, b"<html>"), (200, []), (200, {**YES, "valid": "true"}), (200, {**YES, "valid": 1}), (200, {**YES, "scopes": "all"}),
        (200, {"valid": True}), (302, b""), (500, b"oops"), (200, {**YES, "expires_at": "soon"}),
        problem("verifier_stale", 503), problem("unavailable", 503), problem("too_many_requests", 429),
    ],
)  # fmt: skip
def test_what_is_no_clear_yes_is_a_refusal(keystead, verifier, answer):
    keystead.on("POST /v1/verify", answer)
    verdict = verifier.verify(KEY)
    assert not verdict
    assert verdict.status == 503


def test_a_keystead_that_is_away_refuses(keystead):
    with Verifier("http://127.0.0.1:1", credential=CREDENTIAL, timeout=0.2) as verifier:
        assert verifier.verify(KEY).reason == Reason.UNAVAILABLE


def test_a_keystead_that_does_not_answer_in_time_refuses(keystead):
    over = threading.Event()
    keystead.on("POST /v1/verify", lambda _: (over.wait(5), (200, YES))[1])
    with Verifier(keystead.url, credential=CREDENTIAL, timeout=0.1) as verifier:
        assert verifier.verify(KEY).reason == Reason.UNAVAILABLE
    over.set()


@pytest.mark.parametrize("text", [None, "", "x", KEY[:-1], KEY[:-1] + "x", "ks_prod_" + "a" * 5000])
def test_what_is_no_key_is_refused_without_asking(keystead, verifier, text):
    assert verifier.verify(text).reason == Reason.MALFORMED
    assert not keystead.asked


@pytest.mark.parametrize("kind", [Verifier, LocalVerifier])
def test_a_credential_that_was_not_given_is_said_at_once(kind):
    with pytest.raises(MalformedKey, match="No credential was given"):
        kind("https://keys.example.com", credential=None)


@pytest.mark.parametrize("text", [f"{CREDENTIAL}\nsecond", f"{CREDENTIAL}\u2019"])
def test_a_credential_that_no_header_may_hold_is_said_at_once_and_never_shown(text):
    class Own:
        def current(self):
            return Secret(text)

    for kind in (Verifier, LocalVerifier):
        with pytest.raises(MalformedKey) as raised:
            kind("https://keys.example.com", credential=text)
        assert "ks_" not in str(raised.value)
    with Verifier("http://127.0.0.1:1", credential=Own()) as verifier:
        with pytest.raises(MalformedKey) as raised:
            verifier.verify(KEY)
        assert "ks_" not in "".join(traceback.format_exception(raised.value))


def test_what_stands_around_a_credential_in_a_file_is_no_part_of_it(keystead):
    keystead.on("POST /v1/verify", (200, YES))
    with Verifier(keystead.url, credential=Secret(f" {CREDENTIAL}\r\n")) as verifier:
        assert verifier.verify(KEY)
    assert keystead.asked[0].bearer == CREDENTIAL


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan"), float("inf"), 1e10])
def test_a_time_that_nothing_waits_for_is_said_at_once(timeout):
    with pytest.raises(ValueError, match="timeout is a number of seconds"):
        Verifier("https://keys.example.com", credential=CREDENTIAL, timeout=timeout)


def test_a_credential_that_may_not_verify_is_the_services_mistake(keystead, verifier):
    keystead.on("POST /v1/verify", problem("insufficient_scope", 403))
    with pytest.raises(Refused) as raised:
        verifier.verify(KEY)
    assert (raised.value.code, raised.value.status) == ("insufficient_scope", 403)


class Rotates:
    """A credential whose old secret stopped the moment the new one worked, as with an overlap of `now`."""

    def __init__(self, now, other):
        self.now, self.other, self.told = now, other, []

    def current(self):
        return Secret(self.now)

    def rejected(self, secret):
        self.told.append(secret.reveal())
        return self.other and Secret(self.other)


def test_a_rotation_of_its_own_credential_costs_no_verdict(keystead):
    newer = vectors("key_text")["valid"][5]["text"]
    keystead.on("POST /v1/verify", lambda asked: (200, YES) if asked.bearer == newer else problem("invalid_token", 401))
    credential = Rotates(CREDENTIAL, newer)
    with Verifier(keystead.url, credential=credential) as verifier:
        assert verifier.verify(KEY)
    assert credential.told == [CREDENTIAL]
    for other in (None, KEY):
        with (
            Verifier(keystead.url, credential=Rotates(CREDENTIAL, other)) as verifier,
            pytest.raises(Refused) as caught,
        ):
            verifier.verify(KEY)
        assert caught.value.status == 401
    assert len(keystead.asked) == 2 + 1 + 2, "once more, and no more"


def test_connections_are_kept_and_a_closed_one_is_replaced(keystead, verifier):
    keystead.on("POST /v1/verify", (200, YES))
    assert all(verifier.verify(KEY) for _ in range(5))
    assert keystead.connections == 1
    keystead.on("POST /v1/verify", (200, YES, {"Connection": "close"}))
    assert verifier.verify(KEY)
    assert verifier.verify(KEY)
    assert keystead.connections == 2


def test_a_connection_that_the_server_closed_meanwhile_is_opened_again(keystead, verifier):
    keystead.on("POST /v1/verify", (200, YES))
    assert verifier.verify(KEY)
    for connection in verifier._transport._idle:
        connection.sock.shutdown(2)
    assert verifier.verify(KEY)


def test_many_are_asked_at_once_and_answered_in_order(keystead, verifier):
    def door(asked):
        return 200, {"results": [{**YES, "kid": str(place)} for place, _ in enumerate(asked.json["keys"])]}

    keystead.on("POST /v1/verify:batch", door)
    verdicts = verifier.verify_many([Question(key=Secret(text)) for text in [KEY, "typo", *[KEY] * 100]])
    assert [len(each.json["keys"]) for each in keystead.asked] == [100, 1]
    assert [verdict.valid for verdict in verdicts] == [True, False, *[True] * 100]
    assert [verdict.kid for verdict in verdicts[2:5]] == ["1", "2", "3"]
    keystead.on("POST /v1/verify:batch", (200, {"results": []}))
    assert not any(verifier.verify_many([Question(key=Secret(KEY))]))


def test_what_many_clients_said_of_themselves_fits_into_the_questions(keystead, verifier):
    """Strangers choose how long their User-Agent is: a hundred long ones are no mistake of the service that asks."""

    def door(asked):
        if len(asked.body) > 64 * 1024:
            return problem("body_too_large", 413)
        return 200, {"results": [{**YES, "kid": each["client"]["instance"]} for each in asked.json["keys"]]}

    keystead.on("POST /v1/verify:batch", door)
    clients = [
        Client(address="192.0.2.1", user_agent="\N{SNOWMAN}" * 3000, instance=str(place)) for place in range(100)
    ]
    verdicts = verifier.verify_many([Question(key=Secret(KEY), client=client) for client in clients])
    assert [verdict.kid for verdict in verdicts] == [str(place) for place in range(100)]


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({"headers": {"signature-input": ["x" * 9000], "signature": ["keystead=:x:"]}}, "signature_input_form"),
        ({"headers": {"signature-input": ["x"] * 60, "signature": ["keystead=:x:"]}}, "header_repeated"),
        ({"headers": SIGNED, "query": "q" * 20_000}, "target"),
        ({"headers": SIGNED, "method": "VERSION-CONTROL"}, "target"),
        ({"headers": SIGNED, "authority": "a" * 400}, ""),
    ],
)
@pytest.mark.parametrize("refused", ["field", "size"])
def test_a_signature_that_keystead_does_not_even_read_is_its_senders_mistake(keystead, verifier, said, fault, refused):
    """Raised as Refused it would call the service misconfigured, whenever a stranger likes."""
    (wrong,) = [name for name in said if name != "headers" or len(said) == 1]
    errors = [{"field": "headers.signature-input" if wrong == "headers" else wrong, "code": "too_long"}]
    said_no = problem("body_too_large", 413) if refused == "size" else problem("invalid_input", 422, errors=errors)
    keystead.on("POST /v1/verify-signature", said_no)
    whole = {"method": "GET", "authority": "api.example.com", "path": "/x"} | said
    verdict = verifier.verify_signature(SignedRequest(**whole), scopes=["orders:write"])
    assert (verdict.reason, verdict.status, verdict.fault) == ("signature_malformed", 401, fault)


def test_scopes_that_nobody_can_read_are_the_services_own_mistake_beside_any_signature(keystead, verifier):
    errors = [{"field": name, "code": "too_long"} for name in ("headers.signature", "scopes")]
    keystead.on("POST /v1/verify-signature", problem("invalid_input", 422, errors=errors))
    request = SignedRequest(method="GET", authority="api.example.com", path="/x", headers={"signature": ["x" * 9000]})
    with pytest.raises(Refused):
        verifier.verify_signature(request, scopes=["No Scope"])


def test_signatures_are_asked_about_without_the_body(keystead, verifier):
    keystead.on("POST /v1/verify-signature", (200, {"valid": False, "reason": "signature_expired", "server_time": 17}))
    request = SignedRequest(
        method="POST", authority="api.example.com", path="/x", headers={"signature": ["keystead=:x:"]}, body=b"private"
    )
    verdict = verifier.verify_signature(request, scopes=["orders:write"])
    assert (verdict.reason, verdict.server_time, verdict.status) == ("signature_expired", 17, 401)
    assert b"private" not in keystead.asked[0].body
    assert keystead.asked[0].json["body_digest"].startswith("sha-256=:")


def test_keys_never_travel_in_the_clear():
    with pytest.raises(Unsafe):
        Verifier("http://keys.example.com", credential=CREDENTIAL)
    Verifier("http://keys.internal", credential=CREDENTIAL, allow_plain_http=True)


def test_an_event_loop_asks_without_waiting(keystead):
    keystead.on("POST /v1/verify", (200, YES))

    async def ask():
        async with AsyncVerifier(keystead.url, credential=CREDENTIAL) as verifier:
            return await asyncio.gather(*(verifier.verify(KEY) for _ in range(20)))

    assert all(asyncio.run(ask()))
