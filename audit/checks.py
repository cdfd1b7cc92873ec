"""Check that the database guards every governed table, with today's columns."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error
from django.db import connections

from audit.governed import governed_tables


def governed_tables_are_guarded(
    app_configs: Sequence[AppConfig] | None = None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Compare the registry with the triggers (`manage.py check --database default`; Any: Django's signature)."""
    if "default" not in (databases or ()):
        return []
    guards = installed_guards()
    found: list[CheckMessage] = []
    for target_type, table in governed_tables().items():
        wanted = (target_type, table.pk, frozenset(table.columns))
        if guards.get(table.table) != wanted:
            found.append(
                Error(
                    f"{table.table} is governed, but its guard is missing or watches other columns.",
                    hint=f"Add a migration with GuardTable({table.table!r}, {target_type!r}, columns=...).",
                    id="audit.E001",
                )
            )
    return found


def installed_guards(using: str = "default") -> dict[str, tuple[str, str, frozenset[str]]]:
    """Return the target type, pk and columns that each table's guard watches, where it cannot be put to sleep."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT relname, encode(tgargs, 'escape') FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid"
            " WHERE relnamespace = 'public'::regnamespace AND tgname = 'audit_guard_columns' AND tgenabled = 'A'"
        )
        rows = cursor.fetchall()
    guards = {}
    for table, arguments in rows:
        target_type, pk, columns = arguments.removesuffix("\\000").split("\\000")
        guards[table] = (target_type, pk, frozenset(columns.split(",")))
    return guards
