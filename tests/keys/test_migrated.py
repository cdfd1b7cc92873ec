"""A database that was made by other migrations is no database of this release, whatever their names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from keys.migrated import changed, written
from tests.engines import database_name, layout_of_worker

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.usefixtures("committed_db")


def prepare() -> subprocess.CompletedProcess[str]:
    owner = layout_of_worker().database_url("keystead_owner", database_name())
    return subprocess.run(
        [sys.executable, "manage.py", "prepare_database"],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": owner},
        capture_output=True,
        text=True,
        check=False,
    )


def remember(superuser: psycopg.Connection[Any], told: str | None) -> None:
    said = "NULL" if told is None else psycopg.sql.Literal(told).as_string(superuser)
    superuser.execute(f"COMMENT ON TABLE django_migrations IS {said}".encode())


def test_a_database_of_other_migrations_is_refused_and_left_as_it_is(superuser: psycopg.Connection[Any]) -> None:
    assert changed() == []  # the template was made by these
    others = written() | {"keys/migrations/0002_guards.py": "0" * 16, "audit/migrations/0000_gone.py": "1" * 16}
    remember(superuser, json.dumps(others))
    superuser.execute("REVOKE SELECT ON keys_team FROM keystead_application")
    done = prepare()
    assert done.returncode == 2, done.stderr
    assert "audit/migrations/0000_gone.py, keys/migrations/0002_guards.py" in done.stderr
    assert "no upgrade" in done.stderr
    assert "Traceback" not in done.stderr
    told = superuser.execute("SELECT has_table_privilege('keystead_application', 'keys_team', 'SELECT')").fetchone()
    assert told == (False,)


def test_migrations_that_were_added_are_applied_and_remembered(superuser: psycopg.Connection[Any]) -> None:
    known = written()
    remember(superuser, json.dumps({name: known[name] for name in list(known)[:2]}))
    assert changed() == []
    assert prepare().returncode == 0
    remembered = superuser.execute("SELECT obj_description('django_migrations'::regclass)").fetchone()
    assert remembered is not None
    assert json.loads(remembered[0]) == known


def test_a_database_of_before_this_was_looked_at_is_taken_as_it_is(superuser: psycopg.Connection[Any]) -> None:
    remember(superuser, None)
    assert changed() == []
