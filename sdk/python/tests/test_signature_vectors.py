"""In process a signed request gets the verdict of the portal: the same vectors test its verifier."""

import pytest
from fake_feed import FakeFeed, record
from fake_keystead import FakeKeystead, vectors
from keystead_client import Client, LocalVerifier, MemoryNonces, SignedRequest
from keystead_client.beliefs import State
from keystead_client.ed25519 import raw_key
from keystead_client.signature_profile import Fault
from keystead_client.signature_reading import read_signed
from keystead_client.snapshots import read_snapshot

VERDICTS, FORMS = vectors("verification"), vectors("signed_requests")
PAIR = FORMS["keys"]["pair"]
POLICY = {"scopes": [], "networks": [], "owner_team": "t", "service": "orders", "environment": "prod"}


def holding(signers):
    """A verifier that nobody follows; what it holds is what the vectors say."""
    with FakeKeystead() as keystead:
        feed = FakeFeed(keystead)
    feed.policies = [each["policy"] for each in signers]
    feed.warned = {each["kid"]: each["warned"] for each in signers if each["warned"]}
    feed.signers = [
        record(raw_key(each["public_key"]), each["kid"], place, int(each["retires"]), each["ends_at"])
        for place, each in enumerate(signers)
    ]
    verifier = LocalVerifier("http://localhost:1", credential="ks_dev_" + "x" * 64)
    verifier._started = True
    verifier._feed.state = State(read_snapshot(feed.snapshot(), keys={feed.kid: feed.x}))
    return verifier


@pytest.fixture(scope="module")
def verifier():
    return holding([{**each, **each["held"]} for each in VERDICTS["signers"] if each["held"]])


@pytest.fixture(scope="module")
def pair_verifiers():
    """One for each window that the vectors know."""
    pair = {**PAIR, "retires": False, "ends_at": 2_000_000_000_000, "warned": None}
    return {window: holding([{**pair, "policy": POLICY | {"window": window}}]) for window in (60, 30)}


def asked(verifier, case, at, *, now, **question):
    """What is said to a request, at an instant of Keystead's clock."""
    verifier._feed.believe(now + 60, offset=at - now)
    request = {**case["request"], "body": case["request"]["body"].encode()}
    verdict = verifier.verify_signature(SignedRequest(**request), **question)
    assert verdict.valid or abs(verdict.server_time - at) < 2
    return ("valid" if verdict else str(verdict.reason)), verdict.fault


def said(verifier, case, *, now):
    client = {} if case["address"] is None else {"client": Client(address=case["address"])}
    return asked(verifier, case, case["at"] / 1000, now=now, scopes=case["scopes"], **client)


def remembering():
    """A memory of nonces that has been there for an hour."""
    nonces = MemoryNonces()
    nonces._made_at -= 3600
    return nonces


@pytest.mark.parametrize("case", VERDICTS["signed_cases"], ids=lambda case: case["says"])
def test_the_verdict_is_that_of_the_vector(verifier, case, standing):
    verifier._nonces = remembering()
    if "after" in case:
        first = next(each for each in VERDICTS["signed_cases"] if each["says"] == case["after"])
        said(verifier, first, now=standing)
    assert said(verifier, case, now=standing) == (case.get("in_process", case["verdict"]), case.get("fault", ""))


@pytest.mark.parametrize("case", FORMS["accepted"] + FORMS["refused"], ids=lambda case: case["name"])
def test_the_form_is_that_of_the_vectors(pair_verifiers, case, standing):
    verifier = pair_verifiers[case.get("window", 60)]
    verifier._nonces = remembering()
    wanted = case.get("reason", "valid")
    if wanted != "signature_malformed" and 'alg="hmac-sha256"' in case["request"]["headers"]["signature-input"]:
        # A policy's own window is known of held keys alone.
        longest = case["now"] - 120 < read_signed(SignedRequest(**signed_of(case))).created <= case["now"] + 5
        wanted = "not_in_process" if longest else wanted
    assert asked(verifier, case, float(case["now"]), now=standing) == (wanted, case.get("fault", ""))


def signed_of(case):
    return {**case["request"], "body": case["request"]["body"].encode()}


@pytest.mark.parametrize("case", FORMS["accepted"], ids=lambda case: case["name"])
def test_what_was_signed_is_what_the_vectors_say(case):
    assert read_signed(SignedRequest(**signed_of(case))).base.decode() == case["base"]


def test_every_fault_has_its_vector():
    assert {case["fault"] for case in FORMS["refused"] if "fault" in case} == set(Fault)


def test_a_digest_stands_for_a_body_that_is_not_held_whole(verifier, standing):
    case = next(each for each in VERDICTS["signed_cases"] if each["says"] == "with a body")
    request = SignedRequest(**signed_of(case))
    for digest, wanted in ((request.received_digest, "valid"), ("", "signature_malformed")):
        verifier._nonces = remembering()
        verifier._feed.believe(standing + 60, offset=case["at"] / 1000 - standing)
        told = {**signed_of(case), "body": b"", "body_digest": digest}
        assert (verifier.verify_signature(SignedRequest(**told)).reason or "valid") == wanted
