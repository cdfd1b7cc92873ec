"""Erase what is personal about somebody who has left, on record."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.actor import Actor
from keys.management.refusals import said_in_words
from keys.models import Person
from keys.retention.erasure import ErasureReason, erase_person


class Command(BaseCommand):
    """The person must have been deactivated; nothing of it can be undone."""

    help = (
        "Replace name and address of a deactivated person and delete the private part of every event that names them. "
        "Prints the events that prove it. Cannot be undone; backups still hold it until they are gone."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="address of the person")
        parser.add_argument("--reason", required=True, choices=[str(each) for each in ErasureReason])

    def handle(self, *args: Any, **options: Any) -> None:
        person = Person.objects.filter(email=options["email"].strip().casefold()).first()
        if person is None:
            raise CommandError("no such person")
        with said_in_words():
            erasure = erase_person(person, actor=Actor.at_the_shell(), reason=options["reason"])
        self.stdout.write(f"{erasure.parts} private parts and {erasure.texts} rows with texts were erased.")
        for receipt in erasure.receipts:
            self.stdout.write(f"Receipt: event {receipt}")
