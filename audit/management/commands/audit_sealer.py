"""Run the sealer of the audit log."""

from __future__ import annotations

import signal
import time
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from audit.alarms import raise_alarm
from audit.keywrap.base import WrapError, load_wrap
from audit.notes import Signer
from audit.recovery import begin_origin, halt, recover_tail
from audit.rotation import OVERLAP, Rotation
from audit.sealer import Refused, Sealer
from audit.sealer_folder import AnotherSealer, FolderError, SealerFolder, create_key
from audit.signing_keys import SigningKeys
from audit.watch import Watch
from audit.witness.base import Witness
from audit.witness.publisher import Publisher
from audit.witness.roster import RosterError, witnesses_of

ROTATION_SECONDS = 60.0
POLL_SECONDS = 0.25


class Command(BaseCommand):
    help = (
        "Seal the audit log: give events their order, sign the head, write tiles. Connects as the sealer role "
        "(DATABASE_SEALER_URL). Runs until it is stopped. With --once: seal what waits; exit 1 when the database is not "
        "the one that was sealed, 2 when the sealer cannot work."
    )
    requires_system_checks: list[str] = []
    stop_wanted = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        # One of these at a time: of two, one would be done and the other silently not.
        one = parser.add_mutually_exclusive_group()
        one.add_argument("--once", action="store_true", help="seal what waits and end")
        one.add_argument("--generate-key", action="store_true", help="make the signing key; never replaces one")
        parser.add_argument("--name", default="", help="with --generate-key: the name of the log")
        one.add_argument(
            "--adopt",
            action="store_true",
            help="the sealer's own memory is lost: take the database's checkpoint on trust, if it is signed by our key",
        )
        one.add_argument("--rotate-key", action="store_true", help="make the next signing key and announce it")
        one.add_argument(
            "--retire-key",
            action="store_true",
            help="let the older key sign no more; refused in the first day of both, unless --at-once",
        )
        parser.add_argument("--at-once", action="store_true", help="with --retire-key: do not wait for the day to end")
        one.add_argument(
            "--recover",
            action="store_true",
            help="the database is an older backup: take the lost end up from the tiles",
        )
        one.add_argument(
            "--new-origin",
            metavar="NAME",
            default="",
            help="memory or tiles are lost as well: freeze this log and begin another of this name, with a new key",
        )

    def handle(self, *, generate_key: bool, name: str, new_origin: str, **options: bool) -> None:
        if options["at_once"] and not options["retire_key"]:
            raise CommandError("--at-once goes with --retire-key.", returncode=2)
        if name and not generate_key:
            raise CommandError("--name goes with --generate-key.", returncode=2)
        folder = SealerFolder(Path(settings.KEYSTEAD_SEALER_FOLDER))
        try:
            wrap = load_wrap(settings.KEYSTEAD_SEALER_KEY_WRAP, settings.KEYSTEAD_SEALER_KEY_WRAP_OPTIONS)
            keys = SigningKeys.of(folder.path, settings.KEYSTEAD_SEALER_KEY_FILE, wrap)
            if generate_key:
                self._generate_key(folder, keys, name)
            elif new_origin:
                self._new_origin(folder, keys, new_origin)
            else:
                self._work(folder, keys, **options)
        except (FolderError, AnotherSealer, WrapError, OSError) as problem:
            raise CommandError(str(problem), returncode=2) from problem
        except Refused as refused:
            raise_alarm(refused.code, str(refused), by="sealer")
            halt(refused)
            raise CommandError(f"{refused.code.upper()}: {refused}", returncode=1) from refused

    def _work(
        self,
        folder: SealerFolder,
        keys: SigningKeys,
        *,
        once: bool,
        adopt: bool,
        recover: bool,
        rotate_key: bool,
        retire_key: bool,
        at_once: bool,
        **options: bool,
    ) -> None:
        first, *beside = keys.held()
        sealer = Sealer(folder, first, beside=beside)
        if rotate_key:
            self._rotate(Rotation(sealer, keys))
        elif retire_key:
            self._retire(Rotation(sealer, keys), at_once=at_once)
        else:
            with folder.only_one():
                if recover:
                    self._recover(sealer)
                elif once or adopt:
                    self._once(sealer, adopt=adopt)
                else:
                    self._run(sealer, Rotation(sealer, keys))

    def _generate_key(self, folder: SealerFolder, keys: SigningKeys, name: str) -> None:
        try:
            verifier = create_key(folder, keys.first, name=name, wrap=keys.wrap)
        except FileExistsError:
            raise CommandError("There is a signing key already; it is never replaced.", returncode=2) from None
        self.stdout.write(f"Pin this public key outside this machine:\n{verifier.text()}")

    def _rotate(self, rotation: Rotation) -> None:
        newer = rotation.keys.make_successor()
        self._until(rotation, lambda: rotation.announced_at() is not None)
        self.stdout.write(
            f"Both keys sign now. Pin the new one:\n{newer.verifier.text()}\n"
            f"After {OVERLAP.days} day or later: audit_sealer --retire-key"
        )

    def _retire(self, rotation: Rotation, *, at_once: bool) -> None:
        older = rotation.keys.held()[0]
        announced = rotation.announced_at()
        if announced is None:
            raise CommandError("No other key was announced: audit_sealer --rotate-key", returncode=2)
        if datetime.now(tz=UTC) < announced + OVERLAP and not at_once:
            raise CommandError(
                f"Both keys sign until {announced + OVERLAP:%Y-%m-%d %H:%M} UTC (--at-once).", returncode=2
            )
        rotation.keys.mark(older, "retiring")
        self._until(rotation, lambda: older.verifier.id.hex() in rotation.keys.marked("retired"))
        self.stdout.write(
            f"{older.verifier.id.hex()} signs no more. Destroy its file and every copy (docs/audit-log.md)."
        )

    def _until(self, rotation: Rotation, is_done: Callable[[], bool]) -> None:
        """Let the sealer that runs do it, or do it here when none runs."""
        deadline = time.monotonic() + ROTATION_SECONDS
        while not is_done():
            try:
                with rotation.sealer.folder.only_one():
                    rotation.step()
                    rotation.sealer.seal()
            except AnotherSealer:
                time.sleep(POLL_SECONDS)
            if time.monotonic() > deadline:
                raise CommandError("Not sealed yet: see the sealer's log, then run this again.", returncode=1)

    def _recover(self, sealer: Sealer) -> None:
        done = recover_tail(sealer)
        if done is None:
            self.stdout.write("This database lost nothing that was published.")
            return
        self.stdout.write(
            f"Leaves {done.from_leaf} to {done.upto_leaf - 1} are back; {done.lost_private_parts} private parts are lost, "
            "which is on record. No key verifies until `manage.py follow_audit_log` has brought the rows up."
        )

    def _new_origin(self, folder: SealerFolder, keys: SigningKeys, name: str) -> None:
        def signer() -> Signer:
            if not keys.exist():
                create_key(folder, keys.first, name=name, wrap=keys.wrap)
            (made,) = keys.held()
            if made.name != name:
                raise FolderError(f"{keys.first} is of {made.name}: put a new key of {name} there")
            return made

        folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with folder.only_one():
            frozen = begin_origin(folder, signer)
        self.stdout.write(
            f"{frozen.origin} is frozen at {frozen.size} leaves; {name} begins there. Give auditors its key:\n"
            f"{keys.held()[0].verifier.text()}\n"
            "No key verifies until `manage.py follow_audit_log --by-hand` says who answers for the rows."
        )

    def _once(self, sealer: Sealer, *, adopt: bool) -> None:
        sealed = 0
        while (done := sealer.seal(adopt=adopt)).is_full:
            sealed += done.sealed
        if done.busy:
            self.stdout.write("Another sealer is at work.")
        else:
            self.stdout.write(f"{sealed + done.sealed} events sealed, {done.size} in all.")

    def _run(self, sealer: Sealer, rotation: Rotation) -> None:
        for sign in (signal.SIGINT, signal.SIGTERM):
            signal.signal(sign, self._want_stop)
        watch = Watch(sealer, rotation)
        with Publisher(_witnesses(), sealer.folder, _alarm_of_witnesses).running():
            while not self.stop_wanted:
                time.sleep(watch.once())
            watch.last()  # what the others wrote while they stopped

    def _want_stop(self, _sign: int, _frame: FrameType | None) -> None:
        self.stop_wanted = True


def _witnesses() -> list[Witness]:
    """Return the witnesses of the setting; without them the log is sealed all the same, with an alarm."""
    try:
        return witnesses_of(settings.KEYSTEAD_WITNESSES)
    except RosterError as problem:
        _alarm_of_witnesses("witness_setting", f"Nothing is shown to any witness: {problem}.")
        return []


def _alarm_of_witnesses(code: str, words: str) -> None:
    raise_alarm(code, words, by="publisher")
