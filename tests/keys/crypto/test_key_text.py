"""A key text says offline whether it is ours and unbroken."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.secret_scan import find_secret
from keys.crypto import base62
from keys.crypto.errors import Malformed
from keys.crypto.key_text import (
    ENVIRONMENT_TAGS,
    KEY_PATTERN,
    KID_PATTERN,
    check_of,
    find_keys,
    is_token,
    mint,
    mint_token,
    new_kid,
    parse,
    without_keys,
)
from keys.crypto.secrets import Secret

Vectors = Callable[[str], Any]


def test_every_valid_vector_parses(vectors: Vectors) -> None:
    for vector in vectors("key_text")["valid"]:
        parsed = parse(vector["text"])
        assert (parsed.environment, parsed.kid) == (vector["environment"], vector["kid"])
        secret = vector["text"].rpartition("_")[2][:-6]
        assert base62.decode(secret) == int(vector["secret_number_hex"], 16)


def test_every_invalid_vector_is_refused_with_its_code(vectors: Vectors) -> None:
    for vector in vectors("key_text")["invalid"]:
        with pytest.raises(Malformed) as refusal:
            parse(vector["text"])
        assert refusal.value.code == vector["code"], vector["text"]


@pytest.mark.parametrize("tag", ENVIRONMENT_TAGS)
def test_a_minted_key_parses_as_text_and_as_secret(tag: str) -> None:
    for _ in range(200):
        key = mint(tag)
        assert parse(key.secret) == parse(key.secret.reveal())
        assert parse(key.secret).kid == key.kid
        assert key.secret.reveal().startswith(key.prefix + "_")
        assert key.secret.reveal().endswith(key.last4)
        assert KEY_PATTERN.fullmatch(key.secret.reveal())
        assert re.fullmatch(r"\w+", key.secret.reveal(), re.ASCII), "one double click selects it"


def test_minted_keys_never_repeat() -> None:
    keys = [mint("prod") for _ in range(2000)]
    assert len({key.kid for key in keys}) == len({key.secret.reveal() for key in keys}) == 2000


def test_a_kid_has_no_characters_that_look_alike_and_no_separator() -> None:
    for _ in range(500):
        kid = mint("test").kid
        assert KID_PATTERN.fullmatch(kid)
        assert not set(kid) & set("0O1Il_")


def test_a_secret_can_be_minted_for_a_kid_that_exists_already() -> None:
    kid = new_kid()
    one, other = mint("prod", kid=kid), mint("prod", kid=kid)
    assert one.kid == other.kid == parse(one.secret).kid == kid
    assert one.secret != other.secret
    for odd in ("", "short", "x" * 17, kid + "\n", kid[:-1] + "_"):
        with pytest.raises(ValueError, match="not a kid"):
            mint("prod", kid=odd)


def test_an_unknown_environment_mints_nothing() -> None:
    for tag in ("", "production", "PROD", "stage"):
        with pytest.raises(ValueError, match="unknown environment"):
            mint(tag)


@pytest.mark.parametrize("tag", ENVIRONMENT_TAGS)
def test_every_single_wrong_character_is_found_offline(tag: str) -> None:
    text = mint(tag).secret.reveal()
    for position, right in enumerate(text):
        for wrong in base62.ALPHABET + "_-. \n\u0660\uff11":
            if wrong != right:
                with pytest.raises(Malformed):
                    parse(text[:position] + wrong + text[position + 1 :])


def test_every_swap_of_neighbours_in_the_secret_is_found_offline() -> None:
    text = mint("prod").secret.reveal()
    start = text.rindex("_") + 1
    for position in range(start, len(text) - 7):
        swapped = text[:position] + text[position + 1] + text[position] + text[position + 2 :]
        if swapped != text:
            with pytest.raises(Malformed):
                parse(swapped)


def test_a_key_of_another_environment_does_not_pass_for_this_one() -> None:
    text = mint("dev").secret.reveal()
    with pytest.raises(Malformed):
        parse(text.replace("ks_dev_", "ks_prod_"))


@given(st.text(max_size=200))
def test_no_text_of_a_stranger_parses_or_breaks_the_parser(text: str) -> None:
    with pytest.raises(Malformed):
        parse(text)


@given(st.integers(min_value=0, max_value=62**43 - 1))
def test_base62_round_trips_at_fixed_width(number: int) -> None:
    text = base62.encode(number, width=43)
    assert len(text) == 43
    assert base62.decode(text) == number


def test_base62_refuses_what_does_not_fit() -> None:
    for number, width in ((-1, 6), (62**6, 6), (1, 0)):
        with pytest.raises(ValueError, match="fit"):
            base62.encode(number, width=width)
    for text in ("-", "a_", "\uff11", " "):
        with pytest.raises(ValueError, match="base62"):
            base62.decode(text)


def test_keys_are_found_inside_longer_texts_and_strangers_are_not() -> None:
    first, second = mint("prod").secret.reveal(), mint("dev").secret.reveal()
    broken = first[:-1] + ("0" if first[-1] != "0" else "1")
    text = f'curl -H "Authorization: Bearer {first}"\nKEY={second};x{first} {first}x {broken} ghp_abc'
    found = list(find_keys(text))
    assert [text[start:end] for start, end, _ in found] == [first, second]
    assert [parsed.environment for _, _, parsed in found] == ["prod", "dev"]


def test_a_token_of_a_person_is_found_and_withheld_and_is_no_key(vectors: Vectors) -> None:
    minted = mint_token()
    for text in (minted.secret.reveal(), *(each["text"] for each in vectors("key_text")["tokens"])):
        assert is_token(text)
        assert not any(is_token(each) for each in (text[:-1], text + "x", text.replace("person", "prod"), f" {text}"))
        with pytest.raises(Malformed):
            parse(text)
        assert [parsed.environment for _, _, parsed in find_keys(f"token={text}")] == ["person"]
        assert without_keys(f"x{text[:-20]} y") == "x[key withheld] y"
        assert find_secret(text.encode()) == "keystead-key"
    assert not is_token(mint("prod").secret.reveal())
    assert minted.prefix == f"ks_person_{minted.kid}"


def test_a_secret_is_not_part_of_what_parsing_returns() -> None:
    key = mint("prod")
    assert key.secret.reveal()[-49:] not in repr(parse(Secret(key.secret.reveal())))
    assert check_of(key.secret.reveal()[:-6]) == key.secret.reveal()[-6:]
