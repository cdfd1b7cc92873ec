"""Rotate the keys of the keyring at the shell: look, add, promote, write anew, forget."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.actor import Actor
from keys.management.refusals import said_in_words
from keys.rekeying.naming import rows_by_key
from keys.rekeying.rewriting import rewrite
from keys.rekeying.steps import PURPOSES, add_keys, forget_key, promote_keys, read_ring

COPY: Final = "Every process that sees this file follows it by itself. Copy it to where the old one is backed up and to every other host."
_BETWEEN: Final = 5.0  # seconds from one line of progress to the next


class Command(BaseCommand):
    """Each step leaves an installation that works; docs/crypto.md says what lies between them."""

    help = "Rotate the keys of the keyring: status, add, promote, rewrite, forget. On record. docs/crypto.md has the steps."

    def add_arguments(self, parser: CommandParser) -> None:
        steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")
        steps.add_parser("status", help="which keys there are, and how many rows each has made")
        for step, words in (
            ("add", "make a next key for each purpose, which reads and does not write yet"),
            ("promote", "let the keys that wait make what is newly written"),
        ):
            steps.add_parser(step, help=words).add_argument("purposes", nargs="+", choices=PURPOSES, metavar="PURPOSE")
        steps.add_parser("rewrite", help="write anew what older keys made; can be interrupted and run again")
        forget = steps.add_parser("forget", help="take an old key out of the file")
        forget.add_argument("purpose", choices=PURPOSES, metavar="PURPOSE")
        forget.add_argument("key", help="its name, as status shows it")
        forget.add_argument("--even-so", action="store_true", help="although rows would be lost that it made")

    def handle(self, *args: Any, step: str, **options: Any) -> None:
        if "purposes" in options:
            options["purposes"] = list(dict.fromkeys(options["purposes"]))
        with said_in_words():
            steps: dict[str, Callable[..., None]] = {
                "status": self._status,
                "add": self._add,
                "promote": self._promote,
                "rewrite": self._rewrite,
                "forget": self._forget,
            }
            steps[step](actor=Actor.at_the_shell(), **options)

    def _status(self, **_options: Any) -> None:
        ring, rows = read_ring(), rows_by_key()
        for purpose in PURPOSES:
            primary, waiting = ring.primary(purpose), ring.waiting(purpose)
            for key in ring.newest_first(purpose):
                use = "writes" if key == primary else "waits" if key == waiting else "reads"
                self._line(purpose, key.id, f"{key.created_at:%Y-%m-%d}", use, rows.pop(key.id, 0))
        for name, number in sorted(rows.items()):
            self._line("?", ascii(name)[1:-1], "", "absent", number)  # a forged row names whatever it likes

    def _line(self, purpose: str, key: str, made: str, use: str, rows: int) -> None:
        self.stdout.write(f"{purpose:16} {key:36} {made:10}  {use:6} {rows:>10,} rows")

    def _add(self, *, actor: Actor, purposes: list[str], **_options: Any) -> None:
        for key in add_keys(purposes, actor=actor):
            self.stdout.write(f"{key} waits.")
        self.stdout.write(COPY)
        self.stdout.write(f"Then: manage.py keyring promote {' '.join(purposes)}")

    def _promote(self, *, actor: Actor, purposes: list[str], **_options: Any) -> None:
        for key in promote_keys(purposes, actor=actor):
            self.stdout.write(f"{key} writes.")
        self.stdout.write(COPY)
        self.stdout.write("Then: manage.py keyring rewrite")

    def _rewrite(self, *, actor: Actor, **_options: Any) -> None:
        next_line = time.monotonic() + _BETWEEN

        def told(kind: str, written: int) -> None:
            nonlocal next_line
            if time.monotonic() > next_line:
                self.stdout.write(f"{written:,} {kind} ...")
                next_line = time.monotonic() + _BETWEEN

        done = rewrite(actor=actor, told=told)
        for kind, course in done.items():
            self.stdout.write(f"{course.written:,} {kind} were written anew.")
        if left := sum(course.left for course in done.values()):
            self.stdout.write(
                f"{left:,} rows were left under the old keys: they are not what an operation wrote (of versions the log says "
                "version.integrity-failed), or no key here opens them."
            )
        if held := sum(course.held for course in done.values()):
            raise CommandError(f"{held:,} rows were in use all the time. Run this again.")
        self.stdout.write(
            "manage.py keyring status shows which keys nothing needs any more; manage.py keyring forget takes them out."
        )

    def _forget(self, *, actor: Actor, purpose: str, key: str, even_so: bool, **_options: Any) -> None:
        rows = forget_key(purpose, key, actor=actor, even_so=even_so)
        self.stdout.write(f"{key} is forgotten." + (f" {rows:,} rows were lost with it." if rows else ""))
        self.stdout.write(COPY)
        self.stdout.write("Keep a copy of the former file as long as a backup of the database that needs it.")
