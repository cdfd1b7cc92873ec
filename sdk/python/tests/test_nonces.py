"""A signature is accepted once: a memory that may have forgotten, or never knew, refuses."""

import os
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from keystead_client import MemoryNonces
from keystead_client.nonces import DOUBT_SECONDS, KEPT_SECONDS, NonceStoreUnavailable

KID, NOW = "8nbmcDHypESyDn", 1_790_000_000


@pytest.fixture
def nonces():
    return made(3600)


def made(seconds_ago, **how):
    nonces = MemoryNonces(**how)
    nonces._made_at -= seconds_ago
    return nonces


def spend(nonces, nonce="n" * 22, *, kid=KID, created=NOW, now=float(NOW)):
    return nonces.spend(kid, nonce, created=created, now=now)


def code_of(*args, **more):
    with pytest.raises(NonceStoreUnavailable) as refused:
        spend(*args, **more)
    return refused.value.code


def test_a_nonce_is_accepted_once_for_its_key(nonces):
    assert [spend(nonces), spend(nonces), spend(nonces, kid="kKQe7vWcYzRrTb"), spend(nonces, created=NOW + 5)] == [
        True, False, True, False
    ]  # fmt: skip


def test_of_many_at_once_one_is_accepted(nonces):
    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(lambda _: spend(nonces), range(200))).count(True) == 1


def test_it_is_remembered_for_longer_than_any_window_lasts(nonces):
    assert spend(nonces)
    for later in (1, 59.9, 60, 119.9, 125, KEPT_SECONDS - 0.1):
        assert not spend(nonces, now=NOW + later)


def test_what_was_forgotten_is_never_new_again_whatever_the_clock_says(nonces):
    """Fetched twice by a clock that was put back."""
    assert spend(nonces)
    assert spend(nonces, "m" * 22, created=NOW + 150, now=NOW + KEPT_SECONDS)
    assert not nonces._spent.isdisjoint(nonces._signed_at[NOW + 150])
    assert list(nonces._signed_at) == [NOW + 150], "and is no burden any more"
    for now in (NOW + KEPT_SECONDS, NOW + 30, NOW):
        assert code_of(nonces, now=float(now)) == "nonce_store_young"


def test_what_may_have_been_accepted_before_it_was_made_is_refused(monkeypatch):
    monkeypatch.setattr("keystead_client.nonces.time", SimpleNamespace(monotonic=lambda: 5000.0))
    nonces = made(20)
    assert code_of(nonces, created=NOW - 20 + DOUBT_SECONDS - 1) == "nonce_store_young"
    assert code_of(nonces, created=NOW - 20 + DOUBT_SECONDS - 1, now=NOW + 30.0) == "nonce_store_young"
    assert spend(nonces, created=NOW - 20 + DOUBT_SECONDS + 1)


def test_a_full_one_refuses_and_forgets_nothing():
    nonces = made(3600, most=3)
    assert all(spend(nonces, str(each) * 22) for each in range(3))
    assert code_of(nonces) == "nonce_store_full"
    assert not any(spend(nonces, str(each) * 22) for each in range(3))
    assert spend(nonces, created=NOW + KEPT_SECONDS, now=NOW + KEPT_SECONDS), "there is room when they are of no use"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_cannot_know_what_its_siblings_accepted(nonces):
    assert spend(nonces)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            spend(nonces, "m" * 22)
            os.write(writing, b"accepted")
        except NonceStoreUnavailable as refused:
            os.write(writing, refused.code.encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 100) == b"nonce_store_forked"
    assert spend(nonces, "m" * 22)
