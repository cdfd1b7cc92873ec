"""Bring the database to what this release needs: tables, rights, and the rows without which nothing works."""

from __future__ import annotations

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection, transaction

from audit.actor import Actor
from audit.database import FUNCTION_GRANTS, GRANTS, apply_grants
from keys import migrated
from keys.catalogue.bootstrap import bootstrap
from keys.grants import grants
from keys.jobs.schedules import create_schedules

OTHERS = (
    "This database was made by another state of these files: {}. Before the first release they are replaced in place, and there is no "
    "upgrade (docs/operations.md, Upgrades): begin anew with an empty database (of the one-command start: remove its data folder, .data), "
    "or go on with the commit that made it."
)


class Command(BaseCommand):
    """Run as the owner of the database; safe to run again."""

    help = "Migrate, set every role's rights exactly, and write the rows without which nothing works. Run as the owner."

    def handle(self, *args: Any, **options: Any) -> None:
        quiet = {"verbosity": 0} if options["verbosity"] < 2 else {}
        if changed := migrated.changed():
            raise CommandError(OTHERS.format(", ".join(changed)), returncode=2)
        call_command("migrate", interactive=False, **quiet)
        migrated.remember()
        with transaction.atomic():
            apply_grants(connection, {**GRANTS, **grants()}, FUNCTION_GRANTS)
        actor = Actor.system("prepare-database")
        if bootstrap(actor=actor) | bool(create_schedules(actor=actor)):
            self.stdout.write("The first rows are written.")
        self.stdout.write("The database is ready.")
