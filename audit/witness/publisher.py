"""Show the newest checkpoint to every witness, each in a thread of its own, so that a slow one holds up nobody.

What is published is what the sealer's memory says: already committed, already in the tiles. A witness that answers with
another history, or with nothing for an hour, is an alarm.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

import structlog
from django.db import Error as DatabaseError
from django.db import connections

from audit.log import LogError
from audit.sealer_folder import FolderError, SealerFolder, SealerState
from audit.witness import register
from audit.witness.base import AnotherHistory, Head, Seen, Witness, WitnessFailed

POLL_SECONDS = 0.5
REFRESH_SECONDS = 600.0
SILENCE = timedelta(hours=1)
LONGEST_PAUSE = 300.0
ALARM_SECONDS = 3600.0
STOP_SECONDS = 1.0

Alarm = Callable[[str, str], None]
_lines = structlog.get_logger("keystead.witness")


def patience_with(witness: Witness) -> timedelta:
    """Return after what silence of this witness somebody must be told."""
    return max(SILENCE, timedelta(seconds=2 * witness.every))


class Keeper:
    """One witness, what it was shown, and when it last answered."""

    def __init__(self, witness: Witness, folder: SealerFolder, alarm: Alarm, *, using: str) -> None:
        self.witness, self.folder, self.using = witness, folder, using
        self._alarm = alarm
        self._shown = ""
        self._next_at = self._refresh_at = 0.0
        self._failures = 0
        self._alarmed: dict[str, float] = {}
        self._answered_at = time.monotonic()

    def enter(self) -> None:
        """Write the witness down, and take up how long it has been silent: a restart is no answer."""
        with contextlib.suppress(DatabaseError):
            silent = register.enter(self.witness, patience_with(self.witness), using=self.using)
            self._answered_at = time.monotonic() - silent.total_seconds()

    def turn(self) -> None:
        """Publish, if there is something new or it was long ago."""
        now = time.monotonic()
        if now < self._next_at:
            return
        try:
            state = self.folder.read_state()
        except (FolderError, OSError):
            return  # the sealer itself alarms about its memory
        if state is None or not state.note or (state.note == self._shown and now < self._refresh_at):
            return
        self._publish(state)

    def look(self) -> None:
        """Alarm when the witness has been silent for too long."""
        if time.monotonic() - self._answered_at > patience_with(self.witness).total_seconds():
            self._raise("witness_silent", f"The witness {self.witness.name} has not answered for too long.")

    def _publish(self, state: SealerState) -> None:
        head = Head(note=state.note, tiles=self.folder.tiles)
        try:
            seen = self.witness.publish(head)
        except WitnessFailed as failure:
            self._failed(failure)
        except Exception as error:  # noqa: BLE001 - a back end may be anybody's; its thread must not end
            _lines.exception("a witness broke")
            self._failed(WitnessFailed("broken", f"{self.witness.name}: {type(error).__name__}"))
        else:
            self._answered(state, seen)

    def _answered(self, state: SealerState, seen: Seen) -> None:
        now = time.monotonic()
        self._shown, self._failures, self._answered_at = state.note, 0, now
        self._next_at, self._refresh_at = now + self.witness.every, now + max(REFRESH_SECONDS, self.witness.every)
        with self._database():
            register.answered(self.witness, state, seen, patience_with(self.witness), using=self.using)

    def _failed(self, failure: WitnessFailed) -> None:
        self._failures += 1
        pause = min(LONGEST_PAUSE, 2.0 ** min(self._failures, 10))
        self._next_at = time.monotonic() + pause
        _lines.warning("a witness did not take the checkpoint", code=failure.code, part=self.witness.name)
        contradicts = isinstance(failure, AnotherHistory)
        if contradicts:
            self._answered_at = time.monotonic()
            self._raise(f"witness_{failure.code}", f"A witness remembers another history of the log: {failure}.")
        with self._database():
            register.failed(
                self.witness, failure.code, patience_with(self.witness), contradicts=contradicts, using=self.using
            )

    def _raise(self, code: str, words: str) -> None:
        """Alarm at most every hour for one reason."""
        if time.monotonic() >= self._alarmed.get(code, 0.0):
            self._alarmed[code] = time.monotonic() + ALARM_SECONDS
            self._alarm(code, words)

    @contextlib.contextmanager
    def _database(self) -> Iterator[None]:
        """Go on without the database: what the witness keeps does not depend on it."""
        try:
            yield
        except (DatabaseError, LogError):
            _lines.exception("what a witness said could not be written down")
            connections[self.using].close()


class Publisher:
    """The threads of all witnesses."""

    def __init__(
        self, witnesses: Sequence[Witness], folder: SealerFolder, alarm: Alarm, *, using: str = "sealer"
    ) -> None:
        self.keepers = [Keeper(each, folder, alarm, using=using) for each in witnesses]
        self.using = using
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Publish while the block runs; leaving it waits for nobody for longer than a second."""
        self._start()
        try:
            yield
        finally:
            self._stop.set()
            deadline = time.monotonic() + STOP_SECONDS
            for thread in self._threads:
                thread.join(max(0.0, deadline - time.monotonic()))

    def _start(self) -> None:
        works = [(f"witness {each.witness.name}", each.enter, each.turn) for each in self.keepers]
        for name, first, work in (*works, ("witnesses", self._forget_others, self._look)):
            thread = threading.Thread(target=self._repeat, args=(first, work), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _forget_others(self) -> None:
        with contextlib.suppress(DatabaseError):
            register.forget_others([each.witness.name for each in self.keepers], using=self.using)

    def _look(self) -> None:
        for keeper in self.keepers:
            keeper.look()

    def _repeat(self, first: Callable[[], None], work: Callable[[], None]) -> None:
        """Work until told to stop; the database is never waited for by the sealer's own thread."""
        try:
            first()
            while not self._stop.is_set():
                work()
                self._stop.wait(POLL_SECONDS)
        finally:
            connections.close_all()
