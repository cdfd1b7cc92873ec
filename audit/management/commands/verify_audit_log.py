"""Verify the audit log in the database against the pinned key."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict

from django.core.management.base import BaseCommand, CommandError

from audit.findings import Inspection
from audit.inspection import inspect_log
from audit.notes import NoteError
from audit.pins import CopyDistrusted, read_pins


class Command(BaseCommand):
    help = (
        "Hash every event of the audit log again and compare with leaves, subtrees, signed checkpoints, columns, private "
        "parts, the queue, the sealer's copy and checkpoints that you kept. Connects as the auditor role. Exits 1 at a "
        "finding, 2 when there is no key to verify with."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--database", default="auditor", help="alias of the connection (default: auditor)")
        parser.add_argument(
            "--key",
            action="append",
            default=[],
            help="a pinned public key, as text or file (default: the sealer's own)",
        )
        parser.add_argument("--trust", action="append", default=[], help="file of a checkpoint that you kept")
        parser.add_argument("--tiles", default="", help="folder of tiles (default: the sealer's, if it can be read)")
        parser.add_argument("--json", action="store_true", help="answer in JSON")

    def handle(
        self, *, database: str, key: list[str], trust: list[str], tiles: str, json: bool, **options: object
    ) -> None:
        try:
            pins = read_pins(keys=key, trust=trust, tiles=tiles)
        except CopyDistrusted as problem:
            raise CommandError(f"{problem}", returncode=1) from problem
        except (OSError, NoteError) as problem:
            raise CommandError(f"Nothing to verify with: {problem}", returncode=2) from problem
        found = inspect_log(pins, using=database)
        self._say(found, as_json=json)
        if found.findings:
            raise SystemExit(1)

    def _say(self, found: Inspection, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(asdict(found) | {"first_bad_index": found.first_bad_index}))
            return
        for each in found.findings:
            self.stdout.write(self.style.ERROR(f"  {each}"))
        if found.more:
            self.stdout.write(self.style.ERROR(f"  and {found.more} more"))
        words = f"{found.size} sealed events, {found.checkpoints} checkpoints"
        gone = f"{found.erased} private parts erased and {found.lost} lost on record"
        self.stdout.write(f"{words}, {gone}, {found.waiting} events wait to be sealed; root {found.root}")
        if found.findings:
            where = "" if found.first_bad_index is None else f"; the first bad index is {found.first_bad_index}"
            self.stdout.write(self.style.ERROR(f"The log does not hold{where}."))
        else:
            self.stdout.write(self.style.SUCCESS("The log holds."))
