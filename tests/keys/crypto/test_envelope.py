"""A sealed value opens whole, in its own place, with its own key, or not at all."""

import traceback
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from keys.crypto import base64url
from keys.crypto.envelope import kek_id_of, newest_wrappings, open_sealed, rewrap, seal
from keys.crypto.errors import CryptoError, IntegrityFailed, KeyringUnusable, Malformed, UnknownKey
from keys.crypto.keks.base import KEK_CLASSES, load_provider
from keys.crypto.keyring import Keyring

Vectors = Callable[[str], Any]
CONTEXT = {"table": "keys_totpfactor", "id": "1", "version": "1", "environment": "people"}
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def test_the_cipher_is_the_one_of_the_specification(vectors: Vectors) -> None:
    for case in vectors("aes_256_gcm")["cases"]:
        key, nonce, plaintext, associated, ciphertext, tag = (
            bytes.fromhex(case[name]) for name in ("key", "nonce", "plaintext", "associated", "ciphertext", "tag")
        )
        assert AESGCM(key).encrypt(nonce, plaintext, associated) == ciphertext + tag


def test_vectors_of_old_and_new_keys_open(vectors: Vectors, keyring: Keyring) -> None:
    for vector in vectors("envelope")["sealed"]:
        opened = open_sealed(vector["sealed"], context=vector["context"], keyring=keyring)
        assert opened.reveal_bytes().hex() == vector["plaintext"]
        under_old_key = kek_id_of(vector["sealed"]).endswith("-old")
        assert vector["sealed"].startswith(newest_wrappings(keyring)) != under_old_key


@given(plaintext=st.binary(min_size=1, max_size=300), extra=st.text(max_size=20))
def test_what_is_sealed_opens_and_is_never_sealed_the_same_way_twice(
    keyring: Keyring, plaintext: bytes, extra: str
) -> None:
    context = {**CONTEXT, "extra": extra}
    sealed = seal(plaintext, context=context, keyring=keyring)
    assert open_sealed(sealed, context=context, keyring=keyring).reveal_bytes() == plaintext
    assert seal(plaintext, context=context, keyring=keyring) != sealed


def test_every_flipped_character_fails(keyring: Keyring) -> None:
    sealed = seal(b"a seed of twenty byte", context=CONTEXT, keyring=keyring)
    for position, right in enumerate(sealed):
        for wrong in {ALPHABET[(ALPHABET.find(right) + 1) % 64], ALPHABET[(ALPHABET.find(right) + 32) % 64], "$"}:
            if wrong != right:
                with pytest.raises(CryptoError):
                    open_sealed(sealed[:position] + wrong + sealed[position + 1 :], context=CONTEXT, keyring=keyring)


def test_every_flipped_bit_of_the_binary_parts_fails(keyring: Keyring) -> None:
    parts = seal(b"secret", context=CONTEXT, keyring=keyring).split("$")
    for index in (4, 5, 6):
        binary = base64url.decode(parts[index])
        for bit in range(len(binary) * 8):
            flipped = bytearray(binary)
            flipped[bit // 8] ^= 1 << bit % 8
            changed = [*parts[:index], base64url.encode(bytes(flipped)), *parts[index + 1 :]]
            with pytest.raises(IntegrityFailed):
                open_sealed("$".join(changed), context=CONTEXT, keyring=keyring)


@pytest.mark.parametrize(
    "change",
    [{"id": "2"}, {"version": "2"}, {"table": "other"}, {"environment": "production"}, {"more": ""}],
    ids=str,
)
def test_a_value_moved_to_another_place_does_not_open(keyring: Keyring, change: dict[str, str]) -> None:
    sealed = seal(b"secret", context=CONTEXT, keyring=keyring)
    for act in (open_sealed, rewrap):
        with pytest.raises((IntegrityFailed, UnknownKey)):
            act(sealed, context={**CONTEXT, **change}, keyring=keyring)
    without = {name: value for name, value in CONTEXT.items() if name != "version"}
    with pytest.raises(IntegrityFailed):
        open_sealed(sealed, context=without, keyring=keyring)


def test_parts_of_two_sealed_values_do_not_mix(keyring: Keyring) -> None:
    one = seal(b"one", context=CONTEXT, keyring=keyring).split("$")
    other = seal(b"two", context=CONTEXT, keyring=keyring).split("$")
    for index in (4, 5, 6):
        mixed = [*one[:index], other[index], *one[index + 1 :]]
        with pytest.raises(IntegrityFailed):
            open_sealed("$".join(mixed), context=CONTEXT, keyring=keyring)


@pytest.mark.parametrize(
    "odd", ["", "ks1", "$$$$$$", "ks1$A256GCM$A256GCMKW$kek$$$", "ks2$A256GCM$a$b$c$d$e", "\ud800$" * 7]
)
def test_what_was_never_sealed_is_refused(keyring: Keyring, odd: str) -> None:
    with pytest.raises(CryptoError):
        open_sealed(odd, context=CONTEXT, keyring=keyring)


@pytest.mark.parametrize("missing", ["table", "id", "environment"])
def test_a_context_must_name_a_place(keyring: Keyring, missing: str) -> None:
    context = {name: value for name, value in CONTEXT.items() if name != missing}
    with pytest.raises(ValueError, match=missing):
        seal(b"secret", context=context, keyring=keyring)


def test_an_unknown_environment_and_an_empty_value_are_refused(keyring: Keyring) -> None:
    with pytest.raises(ValueError, match="environment"):
        seal(b"secret", context={**CONTEXT, "environment": "stage"}, keyring=keyring)
    for plaintext in (b"", b"x" * 65537):
        with pytest.raises(ValueError, match="64 KiB"):
            seal(plaintext, context=CONTEXT, keyring=keyring)


@pytest.mark.parametrize(
    ("environment", "kek_class"),
    [("dev", "development"), ("test", "test"), ("prod", "production"), *((name, name) for name in KEK_CLASSES)],
)
def test_each_environment_class_has_its_own_kek(keyring: Keyring, environment: str, kek_class: str) -> None:
    sealed = seal(b"secret", context={**CONTEXT, "environment": environment}, keyring=keyring)
    assert kek_id_of(sealed) == keyring.primary(f"kek-{kek_class}").id


def test_a_rewrap_changes_the_key_and_keeps_the_value(keyring: Keyring, at: datetime) -> None:
    sealed = seal(b"secret", context=CONTEXT, keyring=keyring)
    rotated = keyring.rotated("kek-people", at=at)
    assert open_sealed(sealed, context=CONTEXT, keyring=rotated).reveal_bytes() == b"secret"
    assert not sealed.startswith(newest_wrappings(rotated))
    again = rewrap(rewrap(sealed, context=CONTEXT, keyring=rotated), context=CONTEXT, keyring=rotated)
    assert again.startswith(newest_wrappings(rotated))
    assert again.split("$")[5:] == sealed.split("$")[5:]
    forgotten = rotated.without("kek-people", keyring.primary("kek-people").id)
    assert open_sealed(again, context=CONTEXT, keyring=forgotten).reveal_bytes() == b"secret"
    with pytest.raises(UnknownKey):
        open_sealed(sealed, context=CONTEXT, keyring=forgotten)


def test_a_broken_value_is_not_rewrapped(keyring: Keyring) -> None:
    sealed = seal(b"secret", context=CONTEXT, keyring=keyring)
    broken = sealed[:-2] + ("AA" if sealed[-2:] != "AA" else "BA")
    with pytest.raises((IntegrityFailed, Malformed)):
        rewrap(broken, context=CONTEXT, keyring=keyring)


def test_a_failed_opening_keeps_no_key_in_its_frames(keyring: Keyring) -> None:
    sealed = seal(b"canary-of-the-envelope", context=CONTEXT, keyring=keyring)
    with pytest.raises(CryptoError) as refusal:
        open_sealed(sealed, context={**CONTEXT, "id": "2"}, keyring=keyring)
    shown = "".join(traceback.TracebackException.from_exception(refusal.value, capture_locals=True).format())
    assert "canary-of-the-envelope" not in shown
    assert repr(keyring.primary("kek-people").secret.reveal_bytes()) not in shown
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize("path", ["", "nowhere", "keys.crypto.nowhere.X", "keys.crypto.rings.Ring"])
def test_a_path_that_names_no_provider_is_refused(path: str) -> None:
    with pytest.raises(KeyringUnusable):
        load_provider(path, rings={}, options={})


def test_a_wrapping_is_bound_to_its_context_its_kek_and_its_class(keyring: Keyring) -> None:
    keks = keyring.keks
    kek_id = keks.primary_id("people")
    wrapped = keks.wrap(b"k" * 32, kek_class="people", kek_id=kek_id, context=CONTEXT)
    assert keks.unwrap(wrapped, kek_class="people", kek_id=kek_id, context=CONTEXT) == b"k" * 32
    with pytest.raises(IntegrityFailed):
        keks.unwrap(wrapped, kek_class="people", kek_id=kek_id, context={**CONTEXT, "id": "2"})
    with pytest.raises(IntegrityFailed):
        keks.unwrap(wrapped, kek_class="people", kek_id="kek-people-old", context=CONTEXT)
    with pytest.raises(UnknownKey):
        keks.unwrap(wrapped, kek_class="production", kek_id=kek_id, context=CONTEXT)
    for cut in (b"", wrapped[:11], wrapped[:-1], wrapped + b"x"):
        with pytest.raises(IntegrityFailed):
            keks.unwrap(cut, kek_class="people", kek_id=kek_id, context=CONTEXT)
