"""Run PostgreSQL and Valkey beside Keystead when no URL names a server."""

import os
import signal
import subprocess
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from audit.database import roles_sql
from keys.crypto.keyring import Keyring
from portal.engines import (
    STOP_SECONDS,
    create_cluster,
    postgres_programs,
    start_postgres,
    start_valkey,
    valkey_program,
)
from portal.layout import DATABASE, Layout, new_secret_key, unprivileged_account, write_secret


@dataclass
class Engines:
    """The running engines of one data folder; leave the context to stop them."""

    layout: Layout
    durable: bool = True
    with_postgres: bool = True
    with_valkey: bool = True
    running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def start(self) -> Self:
        """Start what is wanted; a second start finds everything in place and takes about a second."""
        with ExitStack() as undo:
            undo.callback(self.stop)
            prepare_home(self.layout)
            if self.with_postgres:
                programs = postgres_programs(self.layout)
                create_cluster(programs, self.layout.postgres, durable=self.durable)
                self.running["postgres"] = start_postgres(self.layout, programs, durable=self.durable)
                create_roles(self.layout)
            if self.with_valkey:
                program = valkey_program(self.layout)
                self.running["valkey"] = start_valkey(self.layout, program, durable=self.durable)
            undo.pop_all()
        return self

    def stop(self) -> None:
        """Stop Valkey, then PostgreSQL by its fast shutdown (SIGTERM would wait for every client)."""
        for name, sign in (("valkey", signal.SIGTERM), ("postgres", signal.SIGINT)):
            server = self.running.pop(name, None)
            if server is None or server.poll() is not None:
                continue
            server.send_signal(sign)
            try:
                server.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def prepare_home(layout: Layout) -> None:
    """Make the folders of the engines; only folders made here get an owner or permissions."""
    account = unprivileged_account()
    layout.data.mkdir(mode=0o755, parents=True, exist_ok=True)
    layout.home.mkdir(mode=0o755, parents=True, exist_ok=True)
    layout.remember_home()
    for folder in (layout.postgres.parent, layout.valkey, layout.sockets):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if found.st_uid not in {os.geteuid(), account.uid if account else os.geteuid()} or folder.is_symlink():
            message = f"{folder} belongs to somebody else; remove it or choose another KEYSTEAD_DATA"
            raise PermissionError(message)
        if account is not None:
            os.chown(folder, account.uid, account.gid)


def create_roles(layout: Layout) -> None:
    """Create the database and the roles of audit/database.py, each if it is missing."""
    with closing(psycopg.connect(layout.conninfo(database="postgres"), autocommit=True)) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
        if found is None:
            create_database(connection, DATABASE)
    own_schema(layout, DATABASE)


def create_database(
    connection: "psycopg.Connection[tuple[object, ...]]", name: str, template: str = "template0"
) -> None:
    """Create a database, as the superuser."""
    connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))


def own_schema(layout: Layout, database: str) -> None:
    """Create the roles and hand them `database`, by the same script that an operator runs."""
    with closing(psycopg.connect(layout.conninfo(database=database), autocommit=True)) as connection:
        connection.execute(roles_sql(database).encode())


def create_secrets(layout: Layout) -> None:
    """Make the secret key and the keyring at the first start; an existing file is never replaced."""
    if not layout.secret_key_file.exists():
        write_secret(layout.secret_key_file, new_secret_key())
    if not layout.keyring_file.exists():
        Keyring.generate(at=datetime.now(tz=UTC)).create(layout.keyring_file)
