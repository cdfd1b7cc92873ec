"""Do in passing, between two looks of a verifier at the database, what no answer may wait for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog
from django.db.utils import Error as DatabaseError

from keys.nonces.spending import Nonces
from keys.verification.counting.shared_limits import SharedLimits
from keys.verification.counting.tallies import Tallies
from keys.verification.memory import lease
from keys.verification.memory.feed import Feed
from keys.verification.memory.snapshot import NEVER
from portal.verify.serving.precedence import answers_before_bytes

HEARD_WITHIN: Final = 2.0  # seconds
EVERY: Final = 0.5

_log = structlog.get_logger("keystead.verification")


class Upkeep:
    """What the thread of one verifier's feed does besides: nothing of it may stop that thread, or hold it up for long."""

    def __init__(self, nonces: Nonces, *tallies: Tallies) -> None:
        self._tallies = tallies
        self._nonces = nonces
        self._feed: Feed | None = None
        self._limits: SharedLimits | None = None
        self._forget: Callable[[], None] | None = None
        self._due_at = NEVER
        self._is_in_order = False

    def goes_with(self, feed: Feed, limits: SharedLimits, *, forget: Callable[[], None]) -> None:
        """Name the feed whose thread this is, before that begins, and what is to be forgotten at each turn."""
        self._feed, self._limits, self._forget = feed, limits, forget

    def turn(self) -> None:
        """Do what is due. While the database is away only the feed itself goes on asking it."""
        if self._forget is not None:
            self._forget()
        for each in self._tallies:
            each.turn()
        # Not at the start: a server makes its threads after it has loaded the application.
        self._is_in_order = self._is_in_order or answers_before_bytes()
        now = lease.clock()
        if self._feed is None or self._limits is None or now < self._due_at:
            return
        if now - self._feed.looked_at > HEARD_WITHIN:
            return
        self._due_at = now + EVERY
        try:
            self._nonces.renew()
            self._limits.look_around()
        except DatabaseError as error:
            _log.warning("verifier cannot look around", error=type(error).__name__)
        except Exception as error:  # noqa: BLE001 - the thread that keeps memory fresh outlives every mistake here
            _log.error("verifier cannot look around", exc_info=error)
