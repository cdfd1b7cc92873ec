"""A digest finds a key, names its algorithm and gives nothing back."""

import hashlib
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.crypto.commitment import commit, commitment_matches, new_salt
from keys.crypto.digests import ALGORITHMS, CURRENT_ALGORITHM, digest, matches
from keys.crypto.errors import UnknownAlgorithm
from keys.crypto.key_text import mint, parse
from keys.crypto.keyring import SESSION_HASH, Keyring
from keys.crypto.secrets import Secret
from keys.crypto.session_hash import session_hash, session_hashes

Vectors = Callable[[str], Any]


def test_digests_equal_their_vectors(vectors: Vectors) -> None:
    for vector in vectors("key_digest")["digests"]:
        assert digest(vector["text"], vector["algorithm"]).hex() == vector["digest"]
        assert matches(Secret(vector["text"]), bytes.fromhex(vector["digest"]), vector["algorithm"])


def test_the_newest_algorithm_is_domain_separated_sha_256() -> None:
    assert digest("x", CURRENT_ALGORITHM) == hashlib.sha256(b"keystead key digest v1\x00x").digest()
    assert digest("x") != hashlib.sha256(b"x").digest()


@pytest.mark.parametrize("algorithm", ["", "md5", "sha1", "SHA256", "sha256-ks2"])
def test_an_unknown_algorithm_is_refused_and_never_a_default(algorithm: str) -> None:
    with pytest.raises(UnknownAlgorithm):
        digest("x", algorithm)


@given(st.text(min_size=1), st.text(min_size=1), st.sampled_from(sorted(ALGORITHMS)))
def test_a_digest_matches_its_own_text_only(one: str, other: str, algorithm: str) -> None:
    assert matches(one, digest(one, algorithm), algorithm)
    assert matches(one, digest(other, algorithm), algorithm) == (one == other)
    assert not matches(one, b"", algorithm)


def test_half_a_surrogate_pair_has_a_digest_and_breaks_nothing() -> None:
    assert len(digest("\ud800")) == 32


def test_parsing_and_digesting_a_key_takes_microseconds() -> None:
    text = mint("prod").secret.reveal()

    def once() -> float:
        start = time.process_time()
        for _ in range(2000):
            parse(text)
            digest(text)
        return (time.process_time() - start) / 2000

    assert min(once() for _ in range(5)) < 50e-6, "measured 3 us; the bound only catches another order"


def test_commitments_equal_their_vectors_and_open_with_their_salt_only(vectors: Vectors) -> None:
    for vector in vectors("commitment")["commitments"]:
        salt = bytes.fromhex(vector["salt"])
        commitment = commit(vector["text"], salt)
        assert commitment == {"alg": vector["alg"], "commitment": vector["commitment"]}
        assert commitment_matches(commitment, vector["text"].encode(), salt)
        assert not commitment_matches(commitment, vector["text"] + "x", salt)
        assert not commitment_matches(commitment, vector["text"], new_salt())
    with pytest.raises(ValueError, match="salt"):
        commit("x", b"short")
    with pytest.raises(UnknownAlgorithm):
        commitment_matches({"alg": "md5", "commitment": ""}, "x", new_salt())


def test_session_hashes_equal_their_vectors_and_name_their_key(vectors: Vectors, keyring: Keyring) -> None:
    for vector in vectors("session_hash")["hashes"]:
        hashes = session_hashes(vector["value"], purpose=vector["purpose"], keyring=keyring)
        assert list(hashes) == vector["hashes"]
        assert hashes[0] == session_hash(Secret(vector["value"]), purpose=vector["purpose"], keyring=keyring)
        assert hashes[0].startswith(f"hmac-sha256:{keyring.primary(SESSION_HASH).id}:")


def test_a_session_is_still_found_after_the_key_was_rotated(keyring: Keyring, at: Any) -> None:
    before = session_hash("abc", purpose="session", keyring=keyring)
    rotated = keyring.rotated(SESSION_HASH, at=at)
    assert session_hash("abc", purpose="session", keyring=rotated) != before
    assert before in session_hashes("abc", purpose="session", keyring=rotated)
    assert before not in session_hashes("abc", purpose="invitation", keyring=rotated)
