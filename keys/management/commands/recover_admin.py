"""Let the last administrator back in: loud, on record, by a link that works once within an hour."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from audit.actor import Actor
from keys.management.refusals import said_in_words
from keys.people.administrators import order_recovery

WORDS = {
    "not_found": "no administrator has this address",
    "person_not_active": "this administrator is deactivated",
    "another_administrator_can": "another administrator can sign in and reset the factors with a second one; "
    "use that way, or say --even-so",
}


class Command(BaseCommand):
    """The link replaces password and factors when it is used; until then the old ones stay."""

    help = "Print a one-time link by which a locked-out administrator gets a new password and new factors. On record."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="address of the administrator")
        parser.add_argument("--reason", required=True, help="why, for the log (at least 10 characters)")
        parser.add_argument("--even-so", action="store_true", help="although another administrator could do it")

    def handle(self, *args: Any, **options: Any) -> None:
        with said_in_words(WORDS):
            link = order_recovery(
                options["email"],
                actor=Actor.at_the_shell(),
                reason=options["reason"],
                even_so=options["even_so"],
            )
        self.stderr.write(self.style.WARNING("This act is in the audit log with severity critical."))
        self.stdout.write("Whoever opens this link within the hour becomes this administrator. It works once:")
        self.stdout.write(f"\n    {link.reveal()}\n")
