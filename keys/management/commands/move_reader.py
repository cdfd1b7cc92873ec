"""Send a reader of the audit log back."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.actor import Actor
from keys.dispatch.cursor import lag_of
from keys.dispatch.moving import move_reader_back
from keys.management.refusals import said_in_words
from keys.models import DispatchCursor


class Command(BaseCommand):
    """Without a name it only shows how far each reader is."""

    help = (
        "Let a reader of the audit log (notices, intents) read again from a leaf on, on record; nobody is told twice "
        "of one event. Without a name: show how far each reader is."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("reader", nargs="?", default="", help="which reader")
        parser.add_argument("--to-leaf", type=int, default=-1, help="the first leaf to read again")
        parser.add_argument("--reason", default="", help="why, for the log")

    def handle(self, *args: Any, reader: str, to_leaf: int, reason: str, **options: Any) -> None:
        if not reader and (to_leaf >= 0 or reason):
            raise CommandError("Which reader? Without a name nothing is moved.", returncode=2)
        if not reader:
            self._show()
            return
        with said_in_words():
            place = move_reader_back(reader, to_leaf=to_leaf, actor=Actor.at_the_shell(), reason=reason)
        self.stdout.write(f"{place.reader} reads again from leaf {place.next_leaf} on.")

    def _show(self) -> None:
        for place in DispatchCursor.objects.order_by("reader"):
            lag = lag_of(place.reader)
            self.stdout.write(
                f"{place.reader}: next leaf {place.next_leaf}, {lag.leaves} sealed events behind, "
                f"{lag.unsealed} not sealed, {lag.age.total_seconds():.0f} s"
            )
