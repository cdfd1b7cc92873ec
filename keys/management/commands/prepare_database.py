"""Bring the database to what this release needs: tables, rights, and the rows without which nothing works."""

from __future__ import annotations

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connection, transaction

from audit.actor import Actor
from audit.database import FUNCTION_GRANTS, GRANTS, apply_grants
from keys.catalogue.bootstrap import bootstrap
from keys.grants import grants
from keys.jobs.schedules import create_schedules


class Command(BaseCommand):
    """Run as the owner of the database; safe to run again."""

    help = "Migrate, set every role's rights exactly, and write the rows without which nothing works. Run as the owner."

    def handle(self, *args: Any, **options: Any) -> None:
        quiet = {"verbosity": 0} if options["verbosity"] < 2 else {}
        call_command("migrate", interactive=False, **quiet)
        with transaction.atomic():
            apply_grants(connection, {**GRANTS, **grants()}, FUNCTION_GRANTS)
        actor = Actor.system("prepare-database")
        if bootstrap(actor=actor) | bool(create_schedules(actor=actor)):
            self.stdout.write("The first rows are written.")
        self.stdout.write("The database is ready.")
