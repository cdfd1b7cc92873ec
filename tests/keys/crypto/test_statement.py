"""A passkey's signature proves this decision on this content by this person, and nothing else."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import webauthn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from keys.crypto import base64url
from keys.crypto.assertion import Assertion, verify_challenge
from keys.crypto.cose import parse_cose_key
from keys.crypto.errors import AssertionRefused, CryptoError, Malformed
from keys.crypto.statement import ApprovalStatement, challenge_of, new_nonce

RP_ID = "keys.example.com"
ORIGIN = "https://keys.example.com"
ORIGINS = (ORIGIN,)
Vectors = Callable[[str], Any]


def _statement(written: dict[str, str]) -> ApprovalStatement:
    fields: dict[str, Any] = {**written, "expires_at": datetime.fromisoformat(written["expires_at"])}
    return ApprovalStatement(**fields)


@pytest.fixture
def statement(vectors: Vectors) -> ApprovalStatement:
    return _statement(vectors("approval_statement")["statement"])


@pytest.fixture(params=["ES256", "EdDSA", "RS256"])
def signed(request: pytest.FixtureRequest, vectors: Vectors) -> tuple[bytes, Assertion]:
    entry = next(each for each in vectors("approval_statement")["assertions"] if each["algorithm"] == request.param)
    return bytes.fromhex(entry["public_key"]), Assertion.from_json(entry["assertion"])


def test_canonical_bytes_and_challenge_equal_their_vectors(vectors: Vectors, statement: ApprovalStatement) -> None:
    vector = vectors("approval_statement")
    assert statement.canonical().decode() == vector["canonical"]
    assert base64url.encode(statement.challenge) == vector["challenge"]
    assert challenge_of(vector["canonical"].encode()) == statement.challenge


def test_a_signature_over_the_statement_verifies(signed: tuple[bytes, Assertion], statement: ApprovalStatement) -> None:
    public_key, assertion = signed
    verified = verify_challenge(public_key, assertion, statement.challenge, rp_id=RP_ID, origins=ORIGINS)
    assert (verified.sign_count, verified.origin, verified.backup_eligible, verified.backed_up) == (
        41,
        ORIGIN,
        True,
        True,
    )
    assert Assertion.from_json(json.loads(json.dumps(assertion.to_json()))) == assertion


def test_another_implementation_agrees(signed: tuple[bytes, Assertion], statement: ApprovalStatement) -> None:
    public_key, assertion = signed
    written = {**assertion.to_json(), "rawId": assertion.to_json()["id"]}
    verified = webauthn.verify_authentication_response(
        credential=written,
        expected_challenge=statement.challenge,
        expected_rp_id=RP_ID,
        expected_origin=ORIGIN,
        credential_public_key=public_key,
        credential_current_sign_count=0,
        require_user_verification=True,
    )
    assert verified.new_sign_count == 41


OTHER: dict[str, str] = {
    "decision": "deny",
    "request": "another",
    "content_digest": "0" * 64,
    "approver": "another",
    "nonce": "A" * 43,
}


@pytest.mark.parametrize("field", [*OTHER, "expires_at"])
def test_a_signature_does_not_serve_another_statement(
    field: str, signed: tuple[bytes, Assertion], statement: ApprovalStatement
) -> None:
    changed: Any = {field: OTHER.get(field, statement.expires_at + timedelta(microseconds=1))}
    other = dataclasses.replace(statement, **changed)
    with pytest.raises(AssertionRefused) as refusal:
        verify_challenge(*signed, other.challenge, rp_id=RP_ID, origins=ORIGINS)
    assert refusal.value.code == "challenge"


@pytest.mark.parametrize("part", ["client_data_json", "authenticator_data", "signature"])
def test_every_flipped_byte_fails(part: str, signed: tuple[bytes, Assertion], statement: ApprovalStatement) -> None:
    public_key, assertion = signed
    right: bytes = getattr(assertion, part)
    for position in range(len(right)):
        flipped = bytearray(right)
        flipped[position] ^= 1
        changed: Any = {part: bytes(flipped)}
        with pytest.raises(AssertionRefused):
            verify_challenge(
                public_key,
                dataclasses.replace(assertion, **changed),
                statement.challenge,
                rp_id=RP_ID,
                origins=ORIGINS,
            )


def test_every_flipped_byte_of_the_public_key_fails(
    signed: tuple[bytes, Assertion], statement: ApprovalStatement
) -> None:
    public_key, assertion = signed
    for position in range(len(public_key)):
        flipped = bytearray(public_key)
        flipped[position] ^= 1
        with pytest.raises(AssertionRefused):
            verify_challenge(bytes(flipped), assertion, statement.challenge, rp_id=RP_ID, origins=ORIGINS)


def test_a_swapped_key_of_someone_else_fails(vectors: Vectors, statement: ApprovalStatement) -> None:
    entries = vectors("approval_statement")["assertions"]
    for one in entries:
        for other in entries:
            if one is not other:
                with pytest.raises(AssertionRefused, match="signature"):
                    verify_challenge(
                        bytes.fromhex(one["public_key"]),
                        Assertion.from_json(other["assertion"]),
                        statement.challenge,
                        rp_id=RP_ID,
                        origins=ORIGINS,
                    )


class Passkey:
    """A passkey in software that signs whatever it is given, to ask what is refused although signed."""

    def __init__(self, challenge: bytes) -> None:
        self._key = Ed25519PrivateKey.generate()
        self.challenge = challenge
        # {1: 1, 3: -8, -1: 6, -2: 32 bytes} in CBOR
        self.public_key = bytes.fromhex("a4010103272006215820") + self._key.public_key().public_bytes_raw()

    def sign(self, *, client: object = None, flags: int = 0x05, rp_id: str = RP_ID, tail: bytes = b"") -> Assertion:
        text = client if isinstance(client, bytes) else json.dumps(self.client() if client is None else client).encode()
        head = hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + bytes(4) + tail
        signature = self._key.sign(head + hashlib.sha256(text).digest())
        return Assertion(credential_id=b"id", client_data_json=text, authenticator_data=head, signature=signature)

    def client(self, **changes: object) -> dict[str, object]:
        plain = {
            "type": "webauthn.get",
            "challenge": base64url.encode(self.challenge),
            "origin": ORIGIN,
        }
        return {**plain, **changes}

    def verify(self, assertion: Assertion) -> None:
        verify_challenge(self.public_key, assertion, self.challenge, rp_id=RP_ID, origins=ORIGINS)


@pytest.fixture
def passkey(statement: ApprovalStatement) -> Passkey:
    passkey = Passkey(statement.challenge)
    passkey.verify(passkey.sign())
    passkey.verify(passkey.sign(client=passkey.client(crossOrigin=False, new_member=1)))
    return passkey


def test_a_signed_assertion_from_another_place_or_ceremony_is_refused(passkey: Passkey) -> None:
    clients: dict[str, list[dict[str, object]]] = {
        "type": [{"type": "webauthn.create"}, {"type": "payment.get"}],
        "challenge": [{"challenge": ""}, {"challenge": base64url.encode(b"x" * 32)}, {"challenge": None}],
        "origin": [
            {"origin": "https://evil.example"},
            {"origin": ORIGIN + ".evil.example"},
            {"origin": "http://keys.example.com"},
            {"origin": ""},
            {"origin": [ORIGIN]},
        ],
        "cross_origin": [{"crossOrigin": True}, {"crossOrigin": "no"}, {"topOrigin": ORIGIN}],
    }
    for code, changes in clients.items():
        for change in changes:
            with pytest.raises(AssertionRefused) as refusal:
                passkey.verify(passkey.sign(client=passkey.client(**change)))
            assert refusal.value.code == code, change


def test_a_signed_challenge_in_a_second_spelling_is_refused(passkey: Passkey) -> None:
    padded = base64url.encode(passkey.challenge) + "="
    with pytest.raises(AssertionRefused, match="challenge"):
        passkey.verify(passkey.sign(client=passkey.client(challenge=padded)))


def test_signed_client_data_that_is_not_one_plain_object_is_refused(passkey: Passkey) -> None:
    plain = json.dumps(passkey.client())
    doubled = plain[:-1] + ', "origin": "https://evil.example"}'
    for text in (b"", b"[]", b"\xff", doubled.encode(), b"[" * 8000, b" " * 9000, plain.encode("utf-16")):
        with pytest.raises(AssertionRefused, match="client_data"):
            passkey.verify(passkey.sign(client=text))


@pytest.mark.parametrize(
    ("flags", "code"), [(0x00, "user_present"), (0x04, "user_present"), (0x01, "user_verified"), (0x15, "backup_state")]
)
def test_a_signature_without_presence_or_verification_is_refused(passkey: Passkey, flags: int, code: str) -> None:
    with pytest.raises(AssertionRefused, match=code):
        passkey.verify(passkey.sign(flags=flags))


def test_a_signature_for_another_relying_party_or_with_a_stray_tail_is_refused(passkey: Passkey) -> None:
    with pytest.raises(AssertionRefused, match="rp_id"):
        passkey.verify(passkey.sign(rp_id="evil.example"))
    with pytest.raises(AssertionRefused, match="authenticator_data"):
        passkey.verify(passkey.sign(tail=b"\xa0"))
    passkey.verify(passkey.sign(flags=0x85, tail=b"\xa0"))


def test_origins_given_as_one_text_match_nothing(passkey: Passkey) -> None:
    with pytest.raises(AssertionRefused, match="origin"):
        verify_challenge(passkey.public_key, passkey.sign(), passkey.challenge, rp_id=RP_ID, origins=ORIGIN + "/longer")


@pytest.mark.parametrize(
    "change",
    [
        {"decision": ""},
        {"content_digest": "A" * 64},
        {"content_digest": "0" * 63},
        {"nonce": "short"},
        {"nonce": "A" * 42 + "="},
    ],
    ids=str,
)
def test_an_incomplete_statement_is_not_made(statement: ApprovalStatement, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a statement"):
        dataclasses.replace(statement, **change)


def test_a_nonce_never_repeats() -> None:
    assert len({new_nonce() for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    "odd",
    [
        None,
        [],
        {},
        {"id": "YQ", "type": "public-key"},
        {"id": "YQ", "type": "other", "response": {}},
        {"id": "YQ", "rawId": "Yg", "type": "public-key", "response": {}},
        {
            "id": "YR",
            "type": "public-key",
            "response": {"clientDataJSON": "YQ", "authenticatorData": "YQ", "signature": "YQ"},
        },
        {
            "id": "YQ",
            "type": "public-key",
            "response": {"clientDataJSON": 1, "authenticatorData": "YQ", "signature": "YQ"},
        },
    ],
    ids=str,
)
def test_an_assertion_of_another_form_is_refused(odd: object) -> None:
    with pytest.raises(Malformed):
        Assertion.from_json(odd)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader_of_public_keys(encoded: bytes) -> None:
    with pytest.raises(CryptoError):
        parse_cose_key(encoded)


@given(st.data())
def test_no_cut_or_longer_public_key_is_read(data: st.DataObject) -> None:
    whole = Passkey(b"x" * 32).public_key
    with pytest.raises(CryptoError):
        parse_cose_key(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(CryptoError):
        parse_cose_key(whole + data.draw(st.binary(min_size=1, max_size=4)))
