"""Print the one-time link by which the first administrator takes their place; never a default password."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from audit.actor import Actor
from keys.management.refusals import said_in_words
from keys.people.administrators import invite_first_administrator


class Command(BaseCommand):
    """Safe to run again: an unused former link is void, and nothing happens once an administrator can sign in."""

    help = "Invite the first administrator and print a one-time link. Does nothing once an administrator can sign in."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--email",
            required=settings.PRODUCTION,  # it stays, and what they must hear of comes by mail
            help="address of the first administrator, for good",
        )
        parser.add_argument("--name", default="First administrator", help="name that colleagues see")

    def handle(self, *args: Any, **options: Any) -> None:
        with said_in_words():
            first = invite_first_administrator(options["email"], actor=Actor.at_the_shell(), name=options["name"])
        if first is None:
            self.stdout.write("An administrator can sign in already; nothing was changed.")
            return
        self.stdout.write(f"The first administrator is {first.person.email}. Open this link within 72 hours, once:")
        self.stdout.write(f"\n    {first.link.reveal()}\n")
        self.stdout.write("Running this command again makes a new link and voids this one.")
