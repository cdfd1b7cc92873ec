"""A recovery code is slow to guess, fits one person, and is read as people type it."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.crypto.errors import Malformed
from keys.crypto.keyring import PEPPER, Keyring
from keys.crypto.recovery_codes import canonical_recovery_code, mint_recovery_codes
from keys.crypto.secrets import Secret
from keys.crypto.slow_hash import needs_rehash, slow_hash, slow_hash_matches

Vectors = Callable[[str], Any]
pytestmark = pytest.mark.real_costs


def test_stored_strings_of_old_and_new_peppers_verify(vectors: Vectors, keyring: Keyring) -> None:
    for vector in vectors("slow_hash")["hashes"]:
        stored, context = vector["stored"], vector["context"]
        assert slow_hash_matches(Secret(vector["value"]), stored, context=context, keyring=keyring)
        assert not slow_hash_matches(vector["value"] + "0", stored, context=context, keyring=keyring)
        assert not slow_hash_matches(vector["value"], stored, context="person:3", keyring=keyring)
        assert needs_rehash(stored, keyring=keyring) == ("keyid=pepper-old$" in stored)


def test_a_hash_names_algorithm_costs_and_pepper_and_has_its_own_salt(keyring: Keyring) -> None:
    one, other = (slow_hash("code", context="person:1", keyring=keyring) for _ in range(2))
    assert one != other
    assert one.startswith(f"$argon2id$v=19$m=19456,t=2,p=1,keyid={keyring.primary(PEPPER).id}$")


def test_a_hash_without_its_pepper_says_no(keyring: Keyring, at: datetime) -> None:
    stored = slow_hash("code", context="person:1", keyring=keyring)
    rotated = keyring.rotated(PEPPER, at=at)
    assert slow_hash_matches("code", stored, context="person:1", keyring=rotated)
    assert needs_rehash(stored, keyring=rotated)
    forgotten = rotated.without(PEPPER, keyring.primary(PEPPER).id)
    assert not slow_hash_matches("code", stored, context="person:1", keyring=forgotten)


def test_an_edited_or_costly_string_says_no_at_once(keyring: Keyring) -> None:
    stored = slow_hash("code", context="person:1", keyring=keyring)
    odd = [
        "",
        "code",
        stored + "\n",
        stored.replace("argon2id", "argon2i"),
        stored.replace("v=19", "v=16"),
        stored.replace("m=19456", "m=4194304"),
        stored.replace("m=19456", "m=1"),
        stored.replace("t=2", "t=99"),
        stored.replace("p=1", "p=9"),
        stored.replace("pepper-new", "pepper-old"),
        stored[:-1] + "_",
    ]
    start = time.process_time()
    assert not any(slow_hash_matches("code", each, context="person:1", keyring=keyring) for each in odd)
    assert time.process_time() - start < 5


def test_a_set_of_codes_is_ten_different_codes_of_sixty_bits() -> None:
    codes = mint_recovery_codes()
    texts = {code.reveal() for code in codes}
    assert len(texts) == len(codes) == 10
    assert all(len(text.replace("-", "")) == 12 and text.count("-") == 2 for text in texts)


def test_a_code_is_read_however_it_is_typed() -> None:
    expected = Secret("4f7k92mz01pt")
    for typed in ("4f7k-92mz-01pt", "4F7K 92MZ 01PT", " 4f7k92mzOlpt ", "4f7k-92mz-oIpt"):
        assert canonical_recovery_code(typed) == expected
    assert canonical_recovery_code(Secret("4f7k-92mz-01pt")) == expected
    for code in mint_recovery_codes():
        assert canonical_recovery_code(code).reveal() == code.reveal().replace("-", "")


@pytest.mark.parametrize(
    "typed",
    ["", "4f7k-92mz-01p", "4f7k-92mz-01ptx", "4f7k-92mz-01pu", "4f7\u212a-92mz-01pt", "\uff14f7k92mz01pt", "0" * 41],
)
def test_a_code_of_another_form_is_refused(typed: str) -> None:
    with pytest.raises(Malformed):
        canonical_recovery_code(typed)


@given(st.text(max_size=50))
def test_no_typed_text_breaks_the_reader(typed: str) -> None:
    try:
        code = canonical_recovery_code(typed)
    except Malformed:
        return
    assert len(code.reveal()) == 12
