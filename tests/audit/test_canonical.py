import math

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from audit.canonical import MAX_DEPTH, MAX_INTEGER, CanonicalError, canonical_json, parse_strict

texts = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
keys = st.text(alphabet=st.characters(min_codepoint=1, max_codepoint=126))
scalars = st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)


@given(values)
def test_our_bytes_are_those_of_another_implementation(value: object) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)


@given(values)
def test_what_is_written_reads_back_as_the_same(value: object) -> None:
    text = canonical_json(value)
    assert parse_strict(text) == value
    assert canonical_json(parse_strict(text)) == text


def test_keys_sort_and_controls_are_escaped_as_the_standard_says() -> None:
    value = {"b": '"\\\b\f\n\r\t\x1f\x7f/', "a": "\u20ac\U0001f600", "B": [1, -0, True, None]}
    expected = '{"B":[1,0,true,null],"a":"\u20ac\U0001f600","b":"\\"\\\\\\b\\f\\n\\r\\t\\u001f\x7f/"}'
    assert canonical_json(value) == expected.encode()


def _nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        1.0, math.nan, MAX_INTEGER + 1, -MAX_INTEGER - 1, {"\u00e9": 1}, {1: 2}, {"a\x00": 1}, "a\x00b", "\ud800",
        b"bytes", object(), {"s": {1, 2}}, _nested(MAX_DEPTH + 1),
    ],
)  # fmt: skip
def test_what_two_readers_could_read_differently_is_refused(value: object) -> None:
    with pytest.raises(CanonicalError):
        canonical_json(value)


def test_the_deepest_value_allowed_is_written_and_read() -> None:
    assert parse_strict(canonical_json(_nested(MAX_DEPTH))) == _nested(MAX_DEPTH)


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":2}', b"1.5", b"1e3", b"NaN", b"Infinity", b'"\\u0000"', b'"\\ud800"', b"\xff", b"\xef\xbb\xbf1",
        b"[" * 11 + b"]" * 11, b"[" * 100_000, b"", b"{", b"1 2", b"9007199254740992", '{"\u00e9":1}'.encode(),
    ],
)  # fmt: skip
def test_a_strict_reader_refuses(text: bytes) -> None:
    with pytest.raises(CanonicalError):
        parse_strict(text)
