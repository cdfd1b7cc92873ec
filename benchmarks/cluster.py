"""Run a PostgreSQL of our own for one benchmark, with Keystead's schema in as many databases as it wants."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import django
import psycopg
from django.db import connections

from portal import embedded
from portal.layout import Layout, layout_at

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = "bench_template"
ROLES = ("owner", "verifier", "sealer", "auditor", "retention")
# What the one-command start runs with, and what a fill of millions of rows needs so that checkpoints do not disturb.
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "track_commit_timestamp": "on",
}


@dataclass(frozen=True)
class Cluster:
    """A running PostgreSQL and the folder it lives in."""

    layout: Layout

    def superuser(self, database: str = "postgres") -> closing[psycopg.Connection[Any]]:
        """Open a connection that nothing holds back, to set up and to look (Any: a row)."""
        return closing(psycopg.connect(self.layout.conninfo(database=database), autocommit=True))

    def create(self, database: str, template: str = TEMPLATE) -> str:
        """Make a database with the schema, empty but for the first rows, or as a copy of another; return its name."""
        connections.close_all()
        with self.superuser() as connection:
            embedded.create_database(connection, database, template)
        embedded.own_schema(self.layout, database)
        return database

    def drop(self, database: str) -> None:
        """Give the space back."""
        connections.close_all()
        with self.superuser() as connection:
            connection.execute(f'DROP DATABASE "{database}" WITH (FORCE)')

    def use(self, database: str) -> None:
        """Point Django's connections at `database`."""
        connections.close_all()
        for alias in connections:
            connections[alias].settings_dict["NAME"] = database

    def environment(self, database: str) -> dict[str, str]:
        """Return the environment in which a process of ours works on `database`."""
        addresses = {"DATABASE_URL": self.layout.database_url("keystead_application", database)}
        addresses |= {
            f"DATABASE_{role.upper()}_URL": self.layout.database_url(f"keystead_{role}", database) for role in ROLES
        }
        return os.environ | addresses

    def set(self, **settings: object) -> None:
        """Change settings of the running server, for sessions that begin afterwards."""
        with self.superuser() as connection:
            for name, value in settings.items():
                connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
            connection.execute("SELECT pg_reload_conf()")

    def told(self) -> dict[str, str]:
        """Say what runs, for the conditions of the results."""
        with self.superuser() as connection:
            names = [*SETTINGS, "shared_buffers", "wal_sync_method", "max_connections"]
            shown = ", ".join(f"{name}={connection.execute(f'SHOW {name}').fetchone()[0]}" for name in names)  # type: ignore[index]
            version = connection.execute("SHOW server_version").fetchone()[0]  # type: ignore[index]
        return {"PostgreSQL": f"{version}, over a unix socket, {shown}"}


@contextmanager
def running(settings: Mapping[str, str] = SETTINGS) -> Iterator[Cluster]:
    """Start PostgreSQL in a folder of this run, prepare the template, set Django up; stop and remove everything at the end."""
    folder = Path(tempfile.mkdtemp(prefix="keystead-bench-"))
    folder.chmod(0o755)  # root's engines run as another user
    (folder / "static").mkdir()
    layout = layout_at(folder)
    try:
        with embedded.Engines(layout, with_valkey=False):
            _configure(layout, settings)
        with embedded.Engines(layout, with_valkey=False):  # some settings are read only at the start
            _name_addresses(layout)
            _prepare(layout)
            django.setup()
            try:
                yield Cluster(layout)
            finally:
                connections.close_all()
    finally:
        for place in {layout.data, layout.home}:
            shutil.rmtree(place, ignore_errors=True)


def _configure(layout: Layout, settings: Mapping[str, str]) -> None:
    with closing(psycopg.connect(layout.conninfo(database="postgres"), autocommit=True)) as connection:
        for name, value in settings.items():
            connection.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())


def _name_addresses(layout: Layout) -> None:
    """Set the environment that portal.settings reads; nothing of the caller's own Keystead may leak in."""
    for name in [name for name in os.environ if name.startswith(("DATABASE_", "KEYSTEAD_")) or name == "REDIS_URL"]:
        del os.environ[name]
    embedded.create_secrets(layout)
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
        "KEYSTEAD_ENV": "development",
        "KEYSTEAD_DATA": str(layout.data),
        "KEYSTEAD_STATEMENT_TIMEOUT_MS": "0",
        "DATABASE_URL": layout.database_url("keystead_application", TEMPLATE),
        "REDIS_URL": "redis://127.0.0.1:1/0",  # nothing here asks for it
    }
    for role in ROLES:
        os.environ[f"DATABASE_{role.upper()}_URL"] = layout.database_url(f"keystead_{role}", TEMPLATE)


def _prepare(layout: Layout) -> None:
    """Bring the template to the schema of this checkout."""
    with closing(psycopg.connect(layout.conninfo(database="postgres"), autocommit=True)) as connection:
        embedded.create_database(connection, TEMPLATE)
    embedded.own_schema(layout, TEMPLATE)
    environment = os.environ | {"DATABASE_URL": layout.database_url("keystead_owner", TEMPLATE)}
    subprocess.run(
        [sys.executable, "manage.py", "prepare_database"],
        cwd=ROOT,
        env=environment | {"DJANGO_SETTINGS_MODULE": "portal.settings"},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    with closing(psycopg.connect(layout.conninfo(database=TEMPLATE), autocommit=True)) as connection:
        connection.execute("VACUUM ANALYZE")
