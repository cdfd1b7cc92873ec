"""Print the SQL that creates Keystead's database roles."""

from argparse import ArgumentParser

from django.core.management.base import BaseCommand
from django.db import connections

from audit.database import ROLES, roles_sql


class Command(BaseCommand):
    help = "Print the SQL by which a superuser creates the roles and hands them the database; nothing is run."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--name", default="", help="name of the database (default: the one in DATABASE_URL)")

    def handle(self, *, name: str, **options: object) -> None:
        self.stdout.write(roles_sql(name or str(connections["default"].settings_dict["NAME"])))
        self.stdout.write("-- Then give each role a password of its own; psql asks for it and sends only its hash:")
        for role in ROLES:
            self.stdout.write(f"-- \\password {role}")
