"""Back the test database up and restore it with PostgreSQL's own tools, as an operator does."""

import os
import subprocess
from contextlib import closing
from pathlib import Path

import psycopg
from django.conf import settings
from django.db import connections

from portal import embedded
from portal.engines import postgres_programs
from portal.layout import layout_at


def back_up(to: Path) -> Path:
    """Dump the database as a superuser."""
    _run("pg_dump", "--format=custom", f"--file={to}", f"--dbname={_conninfo()}")
    return to


def restore(dump: Path) -> None:
    """Replace the database by an older one."""
    layout, name = layout_at(os.environ["KEYSTEAD_DATA"]), settings.DATABASES["default"]["NAME"]
    connections.close_all()
    with closing(psycopg.connect(layout.conninfo(database="postgres"), autocommit=True)) as superuser:
        superuser.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        embedded.create_database(superuser, name)
    embedded.own_schema(layout, name)
    _run("pg_restore", "--exit-on-error", f"--dbname={_conninfo()}", str(dump))


def _conninfo() -> str:
    return layout_at(os.environ["KEYSTEAD_DATA"]).conninfo(database=settings.DATABASES["default"]["NAME"])


def _run(program: str, *arguments: str) -> None:
    folder = postgres_programs(layout_at(os.environ["KEYSTEAD_DATA"]))
    done = subprocess.run([folder / program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
