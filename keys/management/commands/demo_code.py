"""Print the code of this moment for a person of the demo."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from audit import clock
from keys.demo.people import code_now


class Command(BaseCommand):
    """Only in a demo."""

    help = "Print the one-time code of this moment for a person of the demo (only with DEMO=1)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")

    def handle(self, *args: Any, email: str, **options: Any) -> None:
        if not settings.DEMO or settings.PRODUCTION:
            raise CommandError("Only for a demo.")
        code = code_now(email, at=clock.now())
        if code is None:
            raise CommandError("Nobody of that address is in the demo.")
        self.stdout.write(code)
