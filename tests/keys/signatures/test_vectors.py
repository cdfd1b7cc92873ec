"""One form is accepted, byte for byte as the RFC's library writes it; whatever else there is has its own refusal."""

from typing import Any

import pytest

from keys.crypto.request_signing import RequestKey
from keys.signatures.checking import holds, is_in_future, is_too_old
from keys.signatures.profile import Fault, MalformedSignature
from keys.signatures.reading import SignedRequest, content_digest, read_signed
from tests.keys.signatures.conftest import VECTORS

Told = dict[str, Any]


def request_of(told: Told) -> SignedRequest:
    """The request of a vector."""
    body = told["body"].encode()
    return SignedRequest(
        method=told["method"],
        authority=told["authority"],
        path=told["path"],
        query=told["query"],
        headers=told["headers"],
        body_digest=content_digest(body) if body else None,
        scheme=told["scheme"],
    )


def outcome(vector: Told, keys: dict[str, RequestKey]) -> tuple[str, Fault | None]:
    """The answer to a vector, without what a database would add."""
    now, window = float(vector["now"]), vector.get("window", 60)
    try:
        presented = read_signed(request_of(vector["request"]))
    except MalformedSignature as malformed:
        return "signature_malformed", malformed.fault
    if is_too_old(presented, now=now, window=window):
        return "signature_expired", None
    if is_in_future(presented, now=now):
        return "signature_in_future", None
    return ("valid" if holds(presented, keys.get(presented.kid)) else "signature_invalid"), None


@pytest.mark.parametrize("vector", VECTORS["accepted"], ids=lambda each: each["name"])
def test_a_signed_request_is_accepted(vector: Told, keys: dict[str, RequestKey]) -> None:
    assert read_signed(request_of(vector["request"])).base.decode() == vector["base"]
    assert outcome(vector, keys) == ("valid", None)


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda each: each["name"])
def test_whatever_is_not_the_one_form_or_was_changed_is_refused(vector: Told, keys: dict[str, RequestKey]) -> None:
    assert outcome(vector, keys) == (vector["reason"], vector.get("fault"))


def test_every_fault_has_its_vector() -> None:
    assert {vector["fault"] for vector in VECTORS["refused"] if "fault" in vector} == set(Fault)


def test_a_key_of_another_kind_is_no_key(keys: dict[str, RequestKey]) -> None:
    vector = next(each for each in VECTORS["accepted"] if each["name"] == "ed25519 get")
    presented = read_signed(request_of(vector["request"]))
    shared = keys[VECTORS["keys"]["hmac"]["kid"]]
    assert holds(presented, keys[presented.kid])
    assert not holds(presented, shared)
    assert not holds(presented, None)


def test_the_window_has_two_sides_and_is_not_counted_twice(keys: dict[str, RequestKey]) -> None:
    vector = next(each for each in VECTORS["accepted"] if each["name"] == "get without a query")
    created = read_signed(request_of(vector["request"])).created
    told = {now: outcome({**vector, "now": created + now}, keys)[0] for now in (-6, -5, 0, 59, 59.9, 60)}
    assert told == {
        -6: "signature_in_future",
        -5: "valid",
        0: "valid",
        59: "valid",
        59.9: "valid",
        60: "signature_expired",
    }
