"""In process the verdicts are those of the portal: the same vectors test its verifiers and the client for TypeScript."""

import pytest
from fake_feed import FakeFeed, record
from fake_keystead import FakeKeystead, vectors
from keystead_client import Client, LocalVerifier, digest
from keystead_client.beliefs import State
from keystead_client.snapshots import read_snapshot

VECTORS = vectors("verification")
TEXTS = {each["name"]: each["text"] for each in VECTORS["versions"]}


@pytest.fixture(scope="module")
def verifier():
    with FakeKeystead() as keystead:
        feed = FakeFeed(keystead)
    held = [each for each in VECTORS["versions"] if each["held"]]
    feed.policies = [each["held"]["policy"] for each in held]
    feed.warned = {each["kid"]: each["held"]["warned"] for each in held if each["held"]["warned"]}
    feed.records = [
        record(digest(each["text"]), each["kid"], place, int(each["held"]["retires"]), each["held"]["ends_at"])
        for place, each in enumerate(held)
    ]
    verifier = LocalVerifier("http://localhost:1", credential=held[0]["text"])
    verifier._started = True  # nobody is followed: what is held is what the vectors say
    verifier._feed.state = State(read_snapshot(feed.snapshot(), keys={feed.kid: feed.x}))
    return verifier


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["says"])
def test_the_verdict_is_that_of_the_vector(verifier, case, standing):
    verifier._feed.believe(standing + 60, offset=case["at"] / 1000 - standing)
    text = TEXTS[case["presents"]] if "presents" in case else case["text"]
    # Without an address nothing at all is said of the client: the shortest way through the verifier.
    client = {} if case["address"] is None else {"client": Client(address=case["address"])}
    for _ in range(2):  # found in the snapshot, then among what was found lately
        verdict = verifier.verify(text, scopes=case["scopes"], **client)
        said = "valid" if verdict else str(verdict.reason)
        assert said == case.get("in_process", case["verdict"])


def test_digests_of_the_vectors_are_those_of_the_texts():
    assert [digest(each["text"]).hex() for each in VECTORS["versions"]] == [
        each["digest"] for each in VECTORS["versions"]
    ]
