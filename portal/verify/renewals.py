"""Renew the leases of programs that verify themselves, or hear what they have applied: a queue that serves many at once.

A stop makes everybody answer in the same moment. Whoever comes while others are served waits for the next round, which is one
for all of them: the database is asked as often for five hundred as for one. But it is asked who each is that shows something new,
so strangers come last, and a few at a time: programs would lose their leases behind them.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final
from uuid import UUID

import structlog
from django.db import connections
from django.db.utils import Error as DatabaseError

from keys.errors import Unavailable
from keys.verification.counting.sightings import note_now_and_then
from keys.verification.lookup import VERIFIER
from keys.verification.programs.renewing import LOST, NO_MEMORY, UNKNOWN, Asked, Changes, is_position, written
from portal.verify.door import program_of
from portal.verify.problems import NEVER_STORED, Reply, reply
from portal.verify.reading import Refused

MOST_AT_ONCE: Final = 500
MOST_STRANGERS: Final = 200  # of them; each costs half a millisecond
_LISTENER, _STRANGER, _NOBODY = range(3)  # who is served first
# Seconds in which a round fills: nobody waits for a lease that is renewed in its first third, and somebody waits for a stop.
AT_REST: Final = 0.05
IN_A_HURRY: Final = 0.002
HURRY: Final = 1.0  # seconds after a ring
_STATUS: Final = {UNKNOWN: 404, LOST: 409, NO_MEMORY: 409}
_log = structlog.get_logger("keystead.verification")
Shown = tuple[str, str | None]
Answer = Reply | Refused
Said = Changes | str | None  # what changed, or the code of a refusal; None: heard, and nothing more to say
Serve = Callable[[Sequence[Asked]], Sequence[Said]]
Runs = Callable[[Callable[[], None]], None]


@dataclass(frozen=True, kw_only=True, repr=False)
class Knock:
    """One renewal or acknowledgement as it came, not yet believed. No repr: it holds a secret."""

    authorization: str = ""
    address: str | None = None
    user_agent: str = ""
    verifier: UUID
    body: dict[str, object]
    caller: UUID | None = None  # whose credential it shows, where that is known
    listens: bool = False  # whether whoever shows the same holds a line
    answer: Callable[[Answer], object]

    @property
    def shown(self) -> Shown:
        """What it is asked for once: a credential, and from where it was shown."""
        return self.authorization, self.address


def read_renewal(body: dict[str, object], *, verifier: UUID, credential: UUID) -> Asked:
    """Read where a program stands; raises Refused."""
    applied = body.get("applied")
    if not isinstance(applied, str) or not is_position(applied):
        raise Refused(422, "invalid_input", {"applied": "not_a_position"})
    return Asked(verifier=verifier, credential=credential, applied=applied)


def renewed(asked: Asked, said: Said) -> Reply:
    """Write the answer; raises Refused."""
    if isinstance(said, str):
        raise Refused(_STATUS[said], said)
    return reply(200, written(said, asked=asked)) if said else Reply(status=204, body=b"", headers=NEVER_STORED)


class Renewals:
    """A thread that serves whoever waits, all at once, and asks the database who they are.

    `fills` says for how many seconds a round fills, but after a ring; `runs` tells a whole round where those who wait can be told: to wake
    another thread for each of five hundred takes longer than to serve them.
    """

    def __init__(self, serve: Serve, *, fills: float = AT_REST, runs: Runs = lambda tell: tell()) -> None:
        self._serves, self._fills, self._runs = serve, fills, runs
        self._waiting: queue.PriorityQueue[tuple[int, int, Knock | None]] = queue.PriorityQueue()
        self._number = itertools.count()
        self._thread = threading.Thread(target=self._serve, daemon=True, name="renewals")
        self._hurried = threading.Event()
        self._hurry_until = 0.0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._waiting.put((_NOBODY, next(self._number), None))
        self._thread.join(5)

    def hurry(self) -> None:
        """Fill the next rounds for a shorter time: what is asked for now is what somebody who revoked a key waits for."""
        self._hurry_until = time.monotonic() + HURRY
        self._hurried.set()

    def ask(self, knock: Knock) -> None:
        """Put one in; `knock.answer` is called with the rest of its round."""
        self._waiting.put((_LISTENER if knock.listens else _STRANGER, next(self._number), knock))

    def _serve(self) -> None:
        while (first := self._waiting.get())[2] is not None:
            if time.monotonic() >= self._hurry_until:
                self._hurried.wait(self._fills)
                self._hurried.clear()
            time.sleep(IN_A_HURRY)
            self._waiting.put(first)  # whoever came meanwhile may come before it
            knocks: list[Knock] = []
            strangers: set[Shown] = set()
            while not self._waiting.empty() and len(knocks) < MOST_AT_ONCE:
                rank, number, knock = self._waiting.get()
                if rank == _STRANGER and knock is not None:
                    strangers.add(knock.shown)
                if knock is None or len(strangers) > MOST_STRANGERS:
                    self._waiting.put((rank, number, knock))
                    break
                knocks.append(knock)
            self._serve_at_once(knocks)
        connections[VERIFIER].close()

    def _serve_at_once(self, knocks: list[Knock]) -> None:
        """A verifier that asks twice at once is served in turn; whatever goes wrong is told to all who waited for it."""
        rounds: list[dict[UUID, Knock]] = []
        for knock in knocks:
            free = next((each for each in rounds if knock.verifier not in each), None)
            if free is None:
                rounds.append(free := {})
            free[knock.verifier] = knock
        for each in rounds:
            try:
                said = self._answers_to(list(each.values()))
            except Exception as error:  # noqa: BLE001 - whoever waits gets an answer that renews nothing
                _log.warning("leases not renewed", exc_info=error)
                if isinstance(error, DatabaseError):
                    connections[VERIFIER].close()
                said = dict.fromkeys(each, Refused(503, "unavailable"))
            self._runs(partial(_tell, each, said))

    def _answers_to(self, knocks: list[Knock]) -> dict[UUID, Answer]:
        callers: dict[Shown, UUID | Refused] = {}
        asked: list[Asked] = []
        said: dict[UUID, Answer] = {}
        for knock in knocks:
            shown = knock.shown
            caller = knock.caller or callers.get(shown) or callers.setdefault(shown, _caller(knock))
            try:
                if isinstance(caller, Refused):
                    raise caller
                asked.append(read_renewal(knock.body, verifier=knock.verifier, credential=caller))
            except Refused as refused:
                said[knock.verifier] = refused
        for each, served in zip(asked, self._serves(asked) if asked else (), strict=True):
            try:
                said[each.verifier] = renewed(each, served)
            except Refused as refused:
                said[each.verifier] = refused
        return said


def _tell(knocks: Mapping[UUID, Knock], said: Mapping[UUID, Answer]) -> None:
    for verifier, knock in knocks.items():
        knock.answer(said[verifier])


def _caller(knock: Knock) -> UUID | Refused:
    try:
        return program_of(
            knock.authorization, address=knock.address, user_agent=knock.user_agent, note=note_now_and_then
        ).key_id
    except Refused as refused:
        return refused
    except Unavailable as refused:
        return Refused(refused.status, refused.code)
