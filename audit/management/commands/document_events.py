"""Write docs/events.md from the catalogue of events."""

from argparse import ArgumentParser
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from audit.catalogue_page import page


class Command(BaseCommand):
    help = "Write docs/events.md: every event of every floor. With --check, only say whether it is current."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="exit 1 when the page is out of date")

    def handle(self, *, check: bool, **options: object) -> None:
        path = Path(settings.BASE_DIR) / "docs" / "events.md"
        text = page()
        if check:
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                raise CommandError("docs/events.md is out of date: run manage.py document_events")
            return
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        self.stdout.write(f"wrote {path}")
