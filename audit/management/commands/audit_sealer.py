"""Run the sealer of the audit log."""

from __future__ import annotations

import signal
import time
from argparse import ArgumentParser
from datetime import timedelta
from pathlib import Path
from types import FrameType

import structlog
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseError
from django.db import connections, transaction

from audit import clock, log
from audit.actor import Actor
from audit.alarms import raise_alarm
from audit.events import HeartbeatRecorded, QueueDistrusted
from audit.log import LogError
from audit.sealer import Refused, Round, Sealer
from audit.sealer_folder import AnotherSealer, FolderError, SealerFolder, create_key, read_signer

INTERVAL_SECONDS = 0.25
PATIENCE_SECONDS = 5.0
HEARTBEAT_SECONDS = timedelta(minutes=10).total_seconds()
ODD_SECONDS = 60.0
SEALER = Actor.system("sealer")

_lines = structlog.get_logger("keystead.sealer")


class Command(BaseCommand):
    help = (
        "Seal the audit log: give events their order, sign the head, write tiles. Connects as the sealer role "
        "(DATABASE_SEALER_URL). Runs until it is stopped. With --once: seal what waits; exit 1 when the database is not "
        "the one that was sealed, 2 when the sealer cannot work."
    )
    requires_system_checks: list[str] = []
    stop_wanted = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="seal what waits and end")
        parser.add_argument("--generate-key", action="store_true", help="make the signing key; never replaces one")
        parser.add_argument("--name", default="", help="with --generate-key: the name of the log")
        parser.add_argument(
            "--adopt",
            action="store_true",
            help="the sealer's own memory is lost: take the database's checkpoint on trust, if it is signed by our key",
        )

    def handle(self, *, once: bool, generate_key: bool, name: str, adopt: bool, **options: object) -> None:
        folder = SealerFolder(Path(settings.KEYSTEAD_SEALER_FOLDER))
        try:
            if generate_key:
                self._generate_key(folder, name)
                return
            sealer = Sealer(folder, read_signer(settings.KEYSTEAD_SEALER_KEY_FILE))
            with folder.only_one():
                if once or adopt:
                    self._once(sealer, adopt=adopt)
                else:
                    self._run(sealer)
        except (FolderError, AnotherSealer) as problem:
            raise CommandError(str(problem), returncode=2) from problem

    def _generate_key(self, folder: SealerFolder, name: str) -> None:
        try:
            verifier = create_key(folder, settings.KEYSTEAD_SEALER_KEY_FILE, name=name)
        except FileExistsError:
            raise CommandError("There is a signing key already; it is never replaced.", returncode=2) from None
        self.stdout.write(f"Pin this public key outside this machine:\n{verifier.text()}")

    def _once(self, sealer: Sealer, *, adopt: bool) -> None:
        sealed = 0
        try:
            while (done := sealer.seal(adopt=adopt)).is_full:
                sealed += done.sealed
        except Refused as refused:
            raise_alarm(refused.code, str(refused), by="sealer")
            raise CommandError(f"{refused.code.upper()}: {refused}", returncode=1) from refused
        if done.busy:
            self.stdout.write("Another sealer is at work.")
        else:
            self.stdout.write(f"{sealed + done.sealed} events sealed, {done.size} in all.")

    def _run(self, sealer: Sealer) -> None:
        for sign in (signal.SIGINT, signal.SIGTERM):
            signal.signal(sign, self._want_stop)
        watch = Watch(sealer)
        while not self.stop_wanted:
            time.sleep(watch.once())
        watch.last()  # what the others wrote while they stopped

    def _want_stop(self, _sign: int, _frame: FrameType | None) -> None:
        self.stop_wanted = True


class Watch:
    """Round after round, heartbeats and alarms; a refusal ends nothing, so that the site lives and the backlog shows."""

    def __init__(self, sealer: Sealer) -> None:
        self.sealer = sealer
        self._next_heartbeat = self._next_odd = 0.0
        self._alarmed: dict[str, float] = {}
        self._started = False

    def once(self) -> float:
        """Run one round; return how long to wait for the next, in seconds."""
        try:
            done = self.sealer.seal()
            if done.busy:
                return PATIENCE_SECONDS
            self._look_for_odd_entries()
            self._beat(done)
        except Refused as refused:
            self._alarm(refused)
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
