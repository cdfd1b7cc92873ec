"""Stand in the way of Django's command of this name: nobody becomes an administrator without a link of their own."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    """Refuses whatever it is told."""

    help = "Refuses: first_administrator invites the first, who invites the others."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        raise CommandError("Administrators are invited: run first_administrator, or let one invite another.")
