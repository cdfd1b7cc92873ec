"""Check that no row breaks an invariant of the design."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from keys.invariants import INVARIANTS, breaches


class Command(BaseCommand):
    """Run nightly and after every incident; exit 1 when something is found."""

    help = "Print every row that breaks an invariant; exit 1 when there is one."

    def handle(self, *args: Any, **options: Any) -> None:
        found = list(breaches())
        for breach in found:
            self.stdout.write(f"{breach.invariant}: {breach.subject}")
        if found:
            raise CommandError(f"{len(found)} rows break an invariant.")
        self.stdout.write(f"{len(INVARIANTS) + 1} invariants hold.")
