"""In process a request that a key pair signed is accepted once, while its key lives, and only where that can be known."""

import asyncio
import json
import threading
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fake_feed import POLICY, FakeFeed, base64url, now_ms, record, signing, version
from fake_keystead import vectors
from keystead_client import LocalVerifier, MemoryNonces, Reason, SignedRequest, Signer, Unsafe, digest
from keystead_client.feed import CLOCK, clock
from keystead_client.integrations.protection import Answer, Arrived, decide, decide_async
from test_local import until
from test_signature_vectors import holding

KEYS = [each["text"] for each in vectors("key_text")["valid"]]
KID, OTHER = "a" * 14, "b" * 14
PAIR = Ed25519PrivateKey.generate()
PUBLIC = PAIR.public_key().public_bytes_raw()
SIGNER = Signer.ed25519(PAIR.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), keyid=KID)
BODY = b'{"amount":"12.50"}'


def signed(signer=SIGNER, *, method="POST", path="/orders", body=BODY, **more):
    headers = signer.sign(method, f"https://api.example.com{path}", body=body, content_type="application/json", **more)
    return SignedRequest(
        method=method,
        authority="api.example.com",
        path=path,
        headers={name.lower(): (value,) for name, value in headers.items()},
        body=body,
    )


@pytest.fixture
def feed(keystead):
    feed = FakeFeed(keystead)
    feed.records = [record(digest(KEYS[0]), "c" * 14)]
    feed.signers = [record(PUBLIC, KID), record(bytes(32), OTHER)]
    return feed


@pytest.fixture
def nonces():
    nonces = MemoryNonces()
    nonces._made_at -= 3600
    return nonces


@pytest.fixture
def verifier(keystead, feed, nonces):
    with LocalVerifier(keystead.url, credential=KEYS[6], name="tests", nonces=nonces) as verifier:
        yield verifier


@pytest.fixture
def still(nonces):
    """A verifier that nobody follows, with a minute left."""
    verifier = holding([{"public_key": base64url(PUBLIC), "kid": KID, "policy": POLICY, "retires": False,
                         "ends_at": now_ms() + 3_600_000, "warned": None}])  # fmt: skip
    verifier._nonces = nonces
    believing(verifier)
    return verifier


def believing(verifier, seconds=60.0, **more):
    now = clock(CLOCK)
    verifier._feed.believe(now + seconds, offset=time.time() - now, **more)


def test_a_request_is_accepted_once_and_its_use_is_told(keystead, feed, nonces):
    with LocalVerifier(keystead.url, credential=KEYS[6], nonces=nonces) as verifier:
        request = signed()
        verdict = verifier.verify_signature(request, scopes=["orders:read"])
        assert (verdict.valid, verdict.kid, verdict.owner_team, verdict.service) == (True, KID, "reporting", "orders")
        again = verifier.verify_signature(request, scopes=["orders:read"])
        assert (again.reason, again.status, again.server_time) == (
            Reason.REPLAY,
            401,
            pytest.approx(time.time(), abs=60),
        )
        assert verifier.verify_signature(signed(), scopes=["orders:write"]).reason == Reason.SCOPE
        assert verifier.verify_signature(signed(Signer.hmac(KEYS[0]))).reason == Reason.NOT_IN_PROCESS
    told = {(use["kid"], use["outcome"], use["count"]) for use in feed.uses}
    assert told == {(KID, "valid", 1), (KID, "replay", 1), (KID, "scope", 1)}


def test_a_pair_with_limits_is_held_to_them_and_a_replay_uses_nothing_up(keystead, feed, nonces):
    feed.policies = [POLICY | {"limits": {"requests_per_day": 2}}]
    with LocalVerifier(keystead.url, credential=KEYS[6], nonces=nonces) as verifier:
        request = signed()
        said = [verifier.verify_signature(each) for each in (request, request, signed(), signed())]
        assert [each.reason for each in said] == [None, Reason.REPLAY, None, Reason.QUOTA]
        assert said[-1].status == 429


def test_a_revoked_key_signs_nothing_any_more_and_a_new_one_does(verifier, feed):
    def applied(position):
        until(lambda: position in feed.applied)

    assert verifier.verify_signature(signed())
    applied(feed.change(gone=(KID,), key_id="k-1"))
    assert verifier.verify_signature(signed()).reason == Reason.SIGNATURE_INVALID
    applied(feed.change(signers=(signing(PUBLIC, KID, policy={**POLICY, "scopes": ["orders:cancel"]}),), key_id="k-1"))
    assert verifier.verify_signature(signed(), scopes=["orders:cancel"])
    assert verifier.verify_signature(signed(), scopes=["orders:read"]).reason == Reason.SCOPE
    applied(feed.change(gone=(KID,), key_id="k-1"))
    assert verifier.verify_signature(signed()).reason == Reason.SIGNATURE_INVALID
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    applied(feed.change(signers=(signing(other, KID),), key_id="k-1"))
    assert verifier.verify_signature(signed()).reason == Reason.SIGNATURE_INVALID
    assert verifier.verify(KEYS[0])


def test_a_public_key_is_no_digest_of_a_key_that_is_shown(verifier, feed):
    """Whoever chooses a public key may choose the digest of a text that they know."""
    for text in KEYS[1:3]:
        assert verifier.verify(text).reason == Reason.UNKNOWN
    feed.signers = [record(digest(KEYS[1]), KID)]
    feed.resync = True
    until(lambda: verifier._feed.state is not None and verifier._feed.state.find_signer(OTHER) is None)
    position = feed.change(signers=(signing(digest(KEYS[2]), OTHER),))
    until(lambda: position in feed.applied and verifier.verify(KEYS[0]))
    assert verifier._feed.state.find_signer(KID).public_key == digest(KEYS[1])
    for text in KEYS[1:3]:
        assert verifier.verify(text).reason == Reason.UNKNOWN
    assert not verifier.verify_signature(signed())


def test_without_a_store_of_nonces_no_signature_is_checked(still):
    still._nonces = None
    with pytest.raises(Unsafe, match="nonces"):
        still.verify_signature(signed())
    for answer in (decide(still, arrived(), ()), asyncio.run(decide_async(still, arrived(), ()))):
        assert isinstance(answer, Answer)
        assert (answer.status, answer.code) == (401, "not_in_process")


class Says:
    """A store of nonces that does as it is told."""

    blocking = True

    def __init__(self, outcome):
        self.outcome = outcome

    def spend(self, kid, nonce, *, created, now):
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome() if callable(self.outcome) else self.outcome


def test_only_a_clear_yes_of_the_store_is_one(still):
    for odd, wanted in (
        (None, (Reason.REPLAY, "")), (1, (Reason.REPLAY, "")), ("OK", (Reason.REPLAY, "")),
        (ConnectionError("away"), (Reason.UNAVAILABLE, "nonce_store_unavailable")),
    ):  # fmt: skip
        still._nonces = Says(odd)
        verdict = still.verify_signature(signed())
        assert (verdict.reason, verdict.fault) == wanted
    still._nonces = MemoryNonces()
    assert still.verify_signature(signed()).fault == "nonce_store_young"


def test_a_store_that_outlasts_the_lease_is_answered_too_late(still):
    def slowly():
        until(lambda: still.lease_seconds < 0)
        return True

    believing(still, 0.05)
    still._nonces = Says(slowly)
    assert still.verify_signature(signed()).reason == Reason.STALE
    assert still.verify_signature(signed()).reason == Reason.STALE


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"gone": (OTHER,), "key_id": "k-2"}, None),
        ({"signers": (signing(PUBLIC, KID),)}, None),
        ({"gone": (KID,)}, Reason.SIGNATURE_INVALID),
        ({"signers": (signing(PUBLIC, KID, policy={**POLICY, "scopes": ["orders:cancel"]}),)}, Reason.SCOPE),
        ({"signers": (signing(Ed25519PrivateKey.generate().public_key().public_bytes_raw(), KID),)}, Reason.SIGNATURE_INVALID),
    ],
)  # fmt: skip
def test_what_is_applied_while_the_store_is_asked_counts(keystead, feed, change, wanted):
    """Whoever stopped the key was answered as soon as that was confirmed, and not when the store answered."""

    def meanwhile():
        position = feed.change(**change)
        until(lambda: position in feed.applied)
        return True

    with LocalVerifier(keystead.url, credential=KEYS[6], nonces=Says(meanwhile)) as verifier:
        assert verifier.verify_signature(signed(), scopes=["orders:read"]).reason == wanted


def test_whoever_waited_while_all_was_fetched_anew_is_told_nothing_of_before(keystead, feed):
    def meanwhile():
        state = verifier._feed.state
        feed.resync = True
        until(lambda: verifier.lease_seconds > 0 and verifier._feed.state is not state)
        return True

    with LocalVerifier(keystead.url, credential=KEYS[6], nonces=Says(meanwhile)) as verifier:
        assert verifier.verify_signature(signed()).reason == Reason.STALE


def test_a_key_that_ends_while_the_store_is_asked_is_over(keystead, feed, stopped_clock):
    def slowly():
        stopped_clock.seconds += 0.4
        return True

    with LocalVerifier(keystead.url, credential=KEYS[6], nonces=Says(slowly)) as verifier:
        position = feed.change(signers=(signing(PUBLIC, KID, ends_at=stopped_clock.now_ms() + 300),), key_id="k-1")
        until(lambda: position in feed.applied)
        assert verifier.verify_signature(signed()).reason == Reason.EXPIRED


def test_a_clock_that_was_asked_slowly_accepts_nothing_from_the_future(still, standing):
    """What is accepted was never signed more than five seconds after Keystead's own time, however long it took to hear of it."""
    at = int(time.time())
    for ahead, valid in ((0.0, True), (3.0, False)):
        still._feed.believe(standing + 60, offset=at - standing, ahead=ahead)
        assert still.verify_signature(signed(created=at + 4)).valid is valid


def test_a_keystead_of_before_tells_of_no_signers(keystead, feed, nonces, monkeypatch):
    header = feed.header
    monkeypatch.setattr(feed, "header", lambda: {k: v for k, v in header().items() if k != "signers"})
    with LocalVerifier(keystead.url, credential=KEYS[6], nonces=nonces) as verifier:
        assert verifier.verify_signature(signed()).reason == Reason.SIGNATURE_INVALID
        feed.changes.append((1, {"key_id": "k-9", "versions": [version(digest(KEYS[3]), "d" * 14)], "gone": []}))
        feed.position += 1
        until(lambda: verifier.verify(KEYS[3]))


def arrived():
    request = signed()
    return Arrived(
        method="POST", scheme="https", authority="api.example.com", path="/orders", query="", headers=request.headers,
        address="192.0.2.1", body=BODY,
    )  # fmt: skip


def test_middlewares_let_a_signed_request_in_once(still):
    for decided in (lambda request: decide(still, request, ("orders:read",)),
                    lambda request: asyncio.run(decide_async(still, request, ("orders:read",)))):  # fmt: skip
        request = arrived()
        assert decided(request).kid == KID
        refused = decided(request)
        assert isinstance(refused, Answer)
        assert json.loads(refused.body)["code"] == "replay"


def test_a_store_that_waits_for_a_network_is_asked_beside_the_loop(still):
    async def ask():
        loop, turns = asyncio.get_running_loop(), threading.Event()

        def slowly():
            loop.call_soon_threadsafe(turns.set)
            return turns.wait(20)

        still._nonces = Says(slowly)
        return await decide_async(still, arrived(), ())

    assert asyncio.run(ask()).kid == KID
    assert still.signatures_block
