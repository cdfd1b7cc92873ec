"""Notice a database that was made by migrations of ours that are written otherwise now.

Until the first release they are replaced in place (docs/decisions/021), and Django knows them by their names alone: it would call
a database ready that lacks what a release needs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from django.apps import apps
from django.db import connection
from psycopg import sql

from audit import protection

OURS: Final = ("audit", "keys", "portal")
# Kept with the table that names what was applied, so that a dump brings it along.
_TABLE: Final = "django_migrations"


def written() -> dict[str, str]:
    """The digests of our migrations as they are written here, and of what they install, by file."""
    files = [
        (f"{label}/migrations/{file.name}", file)
        for label in OURS
        for file in Path(apps.get_app_config(label).path, "migrations").glob("0*.py")
    ]
    files.append(("audit/protection.py", Path(protection.__file__)))
    return {name: hashlib.sha256(file.read_bytes()).hexdigest()[:16] for name, file in files}


def changed() -> list[str]:
    """Which files this database was made by that are others now. Nothing of a database that knows of none."""
    now = written()
    return sorted(name for name, digest in _remembered().items() if now.get(name) != digest)


def remember() -> None:
    """Write down what this database was made by; to be called when all of it is applied, by the owner."""
    told = sql.SQL("COMMENT ON TABLE {} IS {}").format(sql.Identifier(_TABLE), sql.Literal(json.dumps(written())))
    with connection.cursor() as cursor:
        cursor.execute(told.as_string(cursor.connection))


def _remembered() -> Mapping[str, str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT obj_description(to_regclass(%s), 'pg_class')", [_TABLE])
        (told,) = cursor.fetchone()
    return json.loads(told) if told else {}
