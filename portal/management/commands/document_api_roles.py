"""Write docs/api-roles.md from the OpenAPI document."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from portal.api.openapi import document
from portal.api.roles import table


class Command(BaseCommand):
    """Run after an operation of the REST API was added or its access changed."""

    help = "Write docs/api-roles.md: which role may call which operation of the REST API."

    def handle(self, *args: Any, **options: Any) -> None:
        page = settings.BASE_DIR / "docs" / "api-roles.md"
        page.write_text(table(document()))
        self.stdout.write(f"{page.name} is written.")
