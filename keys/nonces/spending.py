"""Spend the nonce of a signature that is true in everything else: once, over all processes, whatever fails."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from functools import cache
from typing import Final

import structlog
from django.conf import settings

from keys.nonces.in_database import NoncesInDatabase
from keys.nonces.in_force import CHANGE_DOUBT_SECONDS, InForce, StoreInForce
from keys.nonces.in_valkey import NoncesInValkey, ValkeyDown
from keys.nonces.members import NonceStoreUnavailable, Signed
from keys.states import NonceStoreName

# How long Valkey may be away before the database takes over; a restart of it is shorter.
PATIENCE_SECONDS: Final = 2.0
# How long the database remembers at least, so that a Valkey that comes and goes does not refuse everybody all the time.
SHORTEST_TERM_SECONDS: Final = 60.0
LOOKED_FOR_EVERY_SECONDS: Final = 10.0

_log = structlog.get_logger("keystead.verification")


class Nonces:
    """The stores of this process and which of them is in force."""

    def __init__(self, valkey: NoncesInValkey, database: NoncesInDatabase, in_force: StoreInForce) -> None:
        self._valkey = valkey
        self._database = database
        self._in_force = in_force
        self._away_since: float | None = None
        self._is_given_up = False
        self._looked_at = self._begin_at = float("-inf")
        self._lock = threading.Lock()

    def spend(self, kid: str, nonce: str, *, created: int, now: float) -> bool:
        """Remember a nonce; False when it was spent before. Raises NonceStoreUnavailable: then nothing is decided."""
        store = self._in_force.current()
        if not self._in_force.is_renewed:
            store = self._settled(store)
        young = _too_young(store, created=created, now=now)
        if young is not None:
            raise young
        if store.store == NonceStoreName.DATABASE:
            return self._database.spend(kid, nonce, created=created)
        try:
            is_first = self._valkey.spend(kid, nonce, created=created, now=now)
        except ValkeyDown as error:
            self._without_valkey(str(error))
            if not self._in_force.is_renewed:
                self._settled(store)
            raise NonceStoreUnavailable("nonce_store_unavailable") from None
        self._away_since, self._is_given_up = None, False
        return is_first

    def spend_all(self, signed: Sequence[Signed]) -> list[bool | NonceStoreUnavailable]:
        """Remember many nonces, in one exchange where that is possible: for each what `spend` says, or what it raises."""
        try:
            store = self._in_force.current()
        except NonceStoreUnavailable as unavailable:
            return [unavailable] * len(signed)
        if store.store != NonceStoreName.VALKEY or not self._in_force.is_renewed:
            return [self._alone(each) for each in signed]
        refused = [_too_young(store, created=each.created, now=each.now) for each in signed]
        asked = [each for each, young in zip(signed, refused, strict=True) if young is None]
        heard = iter(self._heard(self._valkey.spend_all(asked)) if asked else ())
        return [next(heard) if young is None else young for young in refused]

    def _heard(
        self, outcomes: Sequence[bool | NonceStoreUnavailable | ValkeyDown]
    ) -> list[bool | NonceStoreUnavailable]:
        down = next((each for each in outcomes if isinstance(each, ValkeyDown)), None)
        if down is None:
            self._away_since, self._is_given_up = None, False
        else:
            self._without_valkey(str(down))
        return [
            NonceStoreUnavailable("nonce_store_unavailable") if isinstance(each, ValkeyDown) else each
            for each in outcomes
        ]

    def _alone(self, signed: Signed) -> bool | NonceStoreUnavailable:
        try:
            return self.spend(signed.kid, signed.nonce, created=signed.created, now=signed.now)
        except NonceStoreUnavailable as unavailable:
            return unavailable

    def renew(self) -> None:
        """Learn which store is in force, and change it if it has to be: for a thread beside the one that answers."""
        with contextlib.suppress(NonceStoreUnavailable):  # what is known goes on to be used for as long as it may
            store = self._settled(self._in_force.renew())
            # Until it is done, and never so often that a silent Valkey would hold up the caller.
            if store.store == NonceStoreName.VALKEY and time.monotonic() >= self._begin_at:
                has_begun = self._valkey.begin_early()
                self._begin_at = float("inf") if has_begun else time.monotonic() + LOOKED_FOR_EVERY_SECONDS

    def _settled(self, store: InForce) -> InForce:
        """The store that is in force after every change that is due."""
        is_given_up, self._is_given_up = self._is_given_up, False  # whatever comes of it: patience begins anew
        if store.store == NonceStoreName.VALKEY and is_given_up:
            self._change(store, NonceStoreName.DATABASE)
        elif store.store == NonceStoreName.DATABASE and self._may_return(store):
            self._change(store, NonceStoreName.VALKEY)
        else:
            return store
        return self._in_force.current()

    def _without_valkey(self, why: str) -> None:
        with self._lock:
            now = time.monotonic()
            if self._away_since is None:
                self._away_since = now
            if now - self._away_since >= PATIENCE_SECONDS:
                self._away_since, self._is_given_up = None, True
        _log.warning("nonces not reached", error=why)

    def _may_return(self, store: InForce) -> bool:
        with self._lock:
            now = time.monotonic()
            if store.standing_for < SHORTEST_TERM_SECONDS or now - self._looked_at < LOOKED_FOR_EVERY_SECONDS:
                return False
            self._looked_at = now
        return self._valkey.ping()

    def _change(self, store: InForce, to: NonceStoreName) -> None:
        self._in_force.change(store, to)
        _log.warning("nonces are remembered elsewhere", code=str(to))


def _too_young(store: InForce, *, created: int, now: float) -> NonceStoreUnavailable | None:
    """Why a signature of then is refused: while the other store was in force somebody may have accepted it."""
    began = now - store.standing_for
    if created > began + CHANGE_DOUBT_SECONDS:
        return None
    return NonceStoreUnavailable("nonce_store_young", retry_after=max(1, int(began + CHANGE_DOUBT_SECONDS + 1 - now)))


@cache
def nonces() -> Nonces:
    """The nonces of this process."""
    return Nonces(NoncesInValkey(settings.REDIS_URL), NoncesInDatabase(), StoreInForce())
