"""Erase again, after a backup was restored, what the log says was erased."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.actor import Actor
from audit.notes import NoteError
from audit.pins import CopyDistrusted, read_pins
from keys.retention.reapplying import reapply_erasures


class Command(BaseCommand):
    """Run it before anybody is let in; running it twice does no harm."""

    help = (
        "Erase again what the log says was erased: a restored backup remembers it. With --tiles the erasures are read from a "
        "copy of the log outside the database, whose checkpoint must be signed by a pinned key."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tiles", default="", help="folder of tiles of the log that was lost")
        parser.add_argument("--key", action="append", default=[], help="a pinned public key, as text or file")

    def handle(self, *args: Any, **options: Any) -> None:
        payloads = None
        if options["tiles"]:
            try:
                pins = read_pins(keys=options["key"], tiles=str(Path(options["tiles"])))
            except (OSError, NoteError, CopyDistrusted) as problem:
                raise CommandError(str(problem), returncode=2) from problem
            assert pins.tiles is not None
            assert pins.tiles_head is not None
            payloads = pins.tiles.entries(pins.tiles_head.size)
        done = reapply_erasures(actor=Actor.at_the_shell(), payloads=payloads)
        self.stdout.write(
            f"{done.people} people, {done.parts} private parts and those of {done.leaves} leaves were erased again."
        )
        for each in done.refused:
            self.stdout.write(self.style.WARNING(f"Left: {each}"))
