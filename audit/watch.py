"""Keep a sealer at work: round after round, with heartbeats, and alarms that wait for nothing that must be sealed first."""

from __future__ import annotations

import time
from datetime import timedelta

import structlog
from django.db import Error as DatabaseError
from django.db import connections, transaction

from audit import clock, log
from audit.actor import Actor
from audit.alarms import raise_alarm
from audit.checkpoints import backlog
from audit.events import HeartbeatRecorded, QueueDistrusted
from audit.log import LogError
from audit.notes import NoteError
from audit.recovery import halt
from audit.rotation import Rotation
from audit.sealer import Refused, Round, Sealer
from audit.sealer_folder import FolderError

INTERVAL_SECONDS = 0.25
PATIENCE_SECONDS = 5.0
HEARTBEAT_SECONDS = timedelta(minutes=10).total_seconds()
ODD_SECONDS = 60.0
LAG_SECONDS = 5.0
SEALER = Actor.system("sealer")

_lines = structlog.get_logger("keystead.sealer")


class Watch:
    """Round after round, heartbeats and alarms; a refusal ends nothing, so that the site lives and the backlog shows."""

    def __init__(self, sealer: Sealer, rotation: Rotation | None = None) -> None:
        self.sealer, self.rotation = sealer, rotation
        self._next_heartbeat = self._next_odd = self._next_lag = 0.0
        self._alarmed: dict[str, float] = {}
        self._started = False

    def once(self) -> float:
        """Run one round; return how long to wait for the next, in seconds."""
        try:
            done = self.sealer.seal()
            if done.busy:
                return PATIENCE_SECONDS
            if self.rotation is not None:
                self.rotation.step()
            self._look_for_lag()
            self._look_for_odd_entries()
            self._beat(done)
        except Refused as refused:
            self._alarm(refused)
            self._halt(refused)
            return PATIENCE_SECONDS
        except (FolderError, NoteError):
            _lines.exception("a key of the sealer cannot be used")
            return PATIENCE_SECONDS
        except (DatabaseError, LogError, OSError):
            # The database restarts, the disk is full: neither is the end, and the backlog is visible on /status.
            _lines.exception("the sealer could not work and tries again")
            connections[self.sealer.using].close()
            return PATIENCE_SECONDS
        return 0.0 if done.is_full else INTERVAL_SECONDS

    def last(self) -> None:
        """Seal what is left before ending."""
        try:
            while self.sealer.seal().is_full:
                pass
        except (Refused, DatabaseError, OSError):
            _lines.exception("the last round of the sealer failed")

    def _halt(self, refused: Refused) -> None:
        try:
            halt(refused, using=self.sealer.using)
        except DatabaseError:
            _lines.exception("the interruption could not be written")

    def _look_for_lag(self) -> None:
        """Say when sealing falls behind although rounds succeed: too much waits, or something old is never reached."""
        if time.monotonic() < self._next_lag:
            return
        self._next_lag = time.monotonic() + LAG_SECONDS
        late = backlog(self.sealer.using)
        if late.is_late and not late.is_interrupted:
            self._alarm(Refused("late", f"{late.waiting} events wait, one for {late.age.total_seconds():.0f} s"))

    def _beat(self, done: Round) -> None:
        if time.monotonic() < self._next_heartbeat:
            return
        state = self.sealer.folder.read_state()
        beat = HeartbeatRecorded(
            target_id="log", size=done.size, root=state.root if state else "", started=not self._started
        )
        with transaction.atomic(using=self.sealer.using):
            log.record(beat, actor=SEALER, at=clock.now(self.sealer.using), using=self.sealer.using)
        self._started = True
        self._next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS

    def _look_for_odd_entries(self) -> None:
        if time.monotonic() < self._next_odd:
            return
        self._next_odd = time.monotonic() + ODD_SECONDS
        odd = list(self.sealer.odd_entries())
        for code in sorted({code for code, _ in odd}):
            if self._alarm(Refused(code, "the queue holds what no honest queue holds")):
                events = tuple(event for found, event in odd if found == code)
                told = QueueDistrusted(target_id="log", reason=code.replace("_", "-"), events=events)
                with transaction.atomic(using=self.sealer.using):
                    log.record(told, actor=SEALER, at=clock.now(self.sealer.using), using=self.sealer.using)

    def _alarm(self, refused: Refused) -> bool:
        """Alarm at most every ten minutes for one reason."""
        if time.monotonic() < self._alarmed.get(refused.code, 0.0):
            return False
        self._alarmed[refused.code] = time.monotonic() + HEARTBEAT_SECONDS
        raise_alarm(refused.code, str(refused), by="sealer")
        return True
