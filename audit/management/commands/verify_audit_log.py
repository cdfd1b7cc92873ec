"""Verify the audit log in the database against the pinned key."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connections, transaction

from audit.inspection import Inspection, Pins, inspect_log
from audit.notes import Checkpoint, NoteError, Verifier, open_checkpoint
from audit.sealer_folder import CHECKPOINT_NAME, SealerFolder
from audit.tiles import TileFolder


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
            pins = _pins(key, trust, tiles)
        except (OSError, NoteError) as problem:
            raise CommandError(f"Nothing to verify with: {problem}", returncode=2) from problem
        with transaction.atomic(using=database, durable=True):
            with connections[database].cursor() as cursor:
                # One snapshot: what is sealed meanwhile belongs to the next look.
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
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
        words = f"{found.size} sealed events, {found.checkpoints} checkpoints, {found.erased} private parts erased on record"
        self.stdout.write(f"{words}, {found.waiting} events wait to be sealed; root {found.root}")
        if found.findings:
            where = "" if found.first_bad_index is None else f"; the first bad index is {found.first_bad_index}"
            self.stdout.write(self.style.ERROR(f"The log does not hold{where}."))
        else:
            self.stdout.write(self.style.SUCCESS("The log holds."))


def _pins(keys: list[str], trust: list[str], tiles: str) -> Pins:
    """Read what is pinned; a key beside the sealer is better than none, and worse than one that an auditor kept."""
    folder = SealerFolder(Path(settings.KEYSTEAD_SEALER_FOLDER))
    verifiers = [Verifier.parse(_text(each)) for each in keys or [str(folder.verifier_file)]]
    copy = Path(tiles) if tiles else folder.path / "tiles"
    head: Checkpoint | None = None
    if tiles or (copy / CHECKPOINT_NAME).is_file():
        try:
            head = open_checkpoint((copy / CHECKPOINT_NAME).read_text(), verifiers)
        except NoteError as error:
            raise CommandError(f"The head of the sealer's copy does not verify: {error}", returncode=1) from error
    return Pins(
        verifiers=verifiers,
        heads=[open_checkpoint(Path(each).read_text(), verifiers) for each in trust],
        tiles=TileFolder(copy) if head else None,
        tiles_head=head,
    )


def _text(key: str) -> str:
    return Path(key).read_text() if Path(key).is_file() else key
