"""One value has one text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.crypto import base64url
from keys.crypto.errors import Malformed


@given(st.binary(max_size=100))
def test_bytes_round_trip(value: bytes) -> None:
    assert base64url.decode(base64url.encode(value)) == value


@given(st.text(alphabet="AQYZR-_=+/ \n\u0660", max_size=8))
def test_whatever_decodes_encodes_to_the_same_text(text: str) -> None:
    try:
        value = base64url.decode(text)
    except Malformed:
        return
    assert base64url.encode(value) == text


@pytest.mark.parametrize(
    "text", ["YR", "YQ==", "YQ=", "Y", "YQ\n", " YQ", "Y Q", "Y+", "Y/", "\uff39Q", "YQ\x00", "\ud800"]
)
def test_a_second_spelling_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        base64url.decode(text)
