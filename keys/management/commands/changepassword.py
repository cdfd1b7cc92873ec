"""Stand in the way of Django's command of this name: it would change a person's password without a line in the log."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser


class Command(BaseCommand):
    """Refuses whatever it is told."""

    help = "Refuses: people change their own password, and recover_admin is the way back in for an administrator."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", nargs="?", help="whoever it is")

    def handle(self, *args: Any, **options: Any) -> None:
        raise CommandError("Nobody's password is changed unrecorded. Let them reset it, or run recover_admin.")
