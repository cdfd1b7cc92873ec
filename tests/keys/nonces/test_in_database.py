"""Nonces that the database remembers: none is forgotten while a process with a slow clock would still accept it."""

from __future__ import annotations

import time

import pytest

from keys.nonces import in_database
from keys.nonces.in_database import NoncesInDatabase
from keys.nonces.members import NonceStoreUnavailable


def test_what_is_older_than_what_is_remembered_is_never_new(
    committed_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of the process is an hour behind; by the database's the nonce was swept long ago."""
    monkeypatch.setattr(in_database, "SWEPT_EVERY_SECONDS", 0.0)
    nonces = NoncesInDatabase()
    fresh, old = int(time.time()), int(time.time()) - 3600
    assert [nonces.spend("kid", "fresh", created=fresh) for _ in range(2)] == [True, False]
    for _ in range(2):
        with pytest.raises(NonceStoreUnavailable):
            nonces.spend("kid", "old", created=old)
