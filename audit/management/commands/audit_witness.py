"""Run a witness of audit logs: best on a second host, where nobody of the first has a key."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from django.core.management.base import BaseCommand, CommandError

from audit.notes import NoteError
from audit.witness.base import AnotherHistory, WitnessFailed
from audit.witness.cosigner import Cosigner, MemoryTorn, create_witness_key, read_verifiers, read_witness_key
from audit.witness.pull import look, source_at
from audit.witness.server import WitnessServer

KEY_NAME = "witness.key"


class Command(BaseCommand):
    help = (
        "Witness audit logs (C2SP tlog-witness): remember the newest head of each log, cosign what only grew, refuse what was "
        "set back or rewritten. Needs a folder and a key, and no database: run it on another host."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--folder", required=True, type=Path, help="where the witness remembers, on a disk of its own"
        )
        parser.add_argument("--key", type=Path, help=f"the witness's key (default: {KEY_NAME} in the folder)")
        parser.add_argument(
            "--log",
            action="append",
            default=[],
            help="the pinned public key of a log, as a file or as text; repeatable",
        )
        parser.add_argument("--bind", default="127.0.0.1:8091", help="address and port to serve on")
        parser.add_argument(
            "--pull",
            default="",
            metavar="PLACE",
            help="look once at the tiles in a folder or at an address, cosign, and end: 0 it only grew, 1 it did not, 2 no answer",
        )
        parser.add_argument(
            "--keep", type=Path, help="with --pull: keep and hash a full copy of the log in this folder"
        )
        parser.add_argument("--generate-key", action="store_true", help="make the key; never replaces one")
        parser.add_argument(
            "--name", default="", help="with --generate-key: the name of the witness, such as w1.example.org"
        )

    def handle(
        self,
        *,
        folder: Path,
        key: Path | None,
        log: Sequence[str],
        bind: str,
        pull: str,
        keep: Path | None,
        generate_key: bool,
        name: str,
        **options: object,
    ) -> None:
        key = key or folder / KEY_NAME
        try:
            if generate_key:
                self._generate_key(key, name)
                return
            if not log:
                raise CommandError("Which log? --log names its pinned public key.", returncode=2)
            logs = [verifier for each in log for verifier in read_verifiers(each)]
            cosigner = Cosigner(folder, read_witness_key(key), logs)
            if pull:
                head = look(source_at(pull), cosigner, logs, keep=keep)
                self.stdout.write(f"{head.origin}: {head.size} leaves, cosigned.")
            else:
                self._serve(cosigner, bind)
        except AnotherHistory as found:
            raise CommandError(f"ANOTHER HISTORY ({found.code}): {found}", returncode=1) from found
        except (WitnessFailed, MemoryTorn) as problem:
            raise CommandError(str(problem), returncode=2) from problem
        except (NoteError, ValueError, OSError, OverflowError) as problem:  # the last: a port that is none
            raise CommandError(str(problem), returncode=2) from problem

    def _generate_key(self, key: Path, name: str) -> None:
        if not name:
            raise CommandError("A witness signs under a name: --name w1.example.org", returncode=2)
        try:
            verifier = create_witness_key(key, name=name)
        except FileExistsError:
            raise CommandError("There is a key already; it is never replaced.", returncode=2) from None
        self.stdout.write(f"Give this public key to the log and to its auditors:\n{verifier.text()}")

    def _serve(self, cosigner: Cosigner, bind: str) -> None:
        stop = threading.Event()

        def want_stop(_sign: int, _frame: FrameType | None) -> None:
            stop.set()

        for sign in (signal.SIGINT, signal.SIGTERM):
            signal.signal(sign, want_stop)
        host, _, port = bind.rpartition(":")
        if not port.isdecimal():
            raise CommandError("--bind is ADDRESS:PORT", returncode=2)
        with WitnessServer((host, int(port)), cosigner) as server:
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            self.stdout.write(f"{cosigner.signer.name} witnesses on {host}:{server.server_port}")
            self.stdout.flush()
            stop.wait()
            server.shutdown()
            thread.join()
