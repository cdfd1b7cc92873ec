"""A public key comes in as PEM, JWK or OpenSSH and is kept in one spelling; a private key is refused and goes nowhere."""

import traceback
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.crypto.errors import Malformed
from keys.crypto.public_keys import as_pem, fingerprint, read_public_key
from tests.keys.signatures.conftest import VECTORS as SIGNED

Vectors = Callable[[str], Any]


def test_every_form_of_the_same_key_is_the_same_key(vectors: Vectors) -> None:
    told = vectors("public_keys")
    assert {read_public_key(each["text"]) for each in told["accepted"]} == {told["public_key"]}
    assert as_pem(told["public_key"]) == told["pem"]
    assert fingerprint(told["public_key"]) == told["fingerprint"]
    assert told["public_key"] == SIGNED["keys"]["pair"]["public_key"]


def test_whatever_is_no_ed25519_public_key_is_refused_with_its_code(vectors: Vectors) -> None:
    for each in vectors("public_keys")["refused"]:
        with pytest.raises(Malformed) as refused:
            read_public_key(each["text"])
        assert refused.value.code == each["code"], each["name"]


def test_a_traceback_does_not_keep_a_private_key(vectors: Vectors) -> None:
    for each in vectors("public_keys")["refused"]:
        if each["code"] == "private_key_refused":
            with pytest.raises(Malformed) as refused:
                read_public_key(each["text"])
            frames = traceback.TracebackException.from_exception(refused.value, capture_locals=True).stack
            ours = [str(frame.locals) for frame in frames if "/tests/" not in frame.filename]
            assert ours
            assert not any("PRIVATE" in shown or each["text"][:20] in shown for shown in ours), each["name"]


@given(st.text(max_size=200) | st.text("{}[]\"':,0123456789kty crvxOKPEd25519d", max_size=120))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        told = str(len(read_public_key(text)))
    except Malformed as malformed:
        told = malformed.code
    assert told in {"43", "private_key_refused", "not_an_ed25519_key", "public_key_form"}
