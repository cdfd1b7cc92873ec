"""Give each test a database with known rows, without copying the template before each of them.

A copy takes a quarter of a second and finds every cache cold, and a thousand tests commit. So the tables that a test
changed are emptied and filled as they were; only whoever changed the schema gets a copy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from portal import embedded
from portal.layout import Layout

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

# More rows than this are gone sooner by a copy.
FEW_ROWS = 20_000
# More deleted rows than this are swept up: every later look at the table would read them again.
MANY_DEAD = 1_000
# Stands in for every trigger that does not sleep, while the rows are put back.
_IDLE = """
BEGIN
    IF TG_LEVEL = 'STATEMENT' OR TG_WHEN = 'AFTER' THEN RETURN NULL; END IF;
    IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
    RETURN NEW;
END
"""
_WAKEFUL = """
SELECT DISTINCT function.oid::bigint, function.prosrc FROM pg_trigger fired JOIN pg_proc function ON function.oid = tgfoid
WHERE NOT tgisinternal AND tgenabled = 'A'
"""
_WRITE_BODIES = """
UPDATE pg_proc SET prosrc = given.body FROM unnest(%s::bigint[], %s::text[]) AS given (id, body) WHERE oid::bigint = given.id
"""
# Whatever changes when a schema or rights in it do. TRUNCATE counts too: it gives the table a new file.
_SCHEMA = """
SELECT (SELECT (count(*), max(xmin::text::bigint))::text FROM pg_class WHERE oid >= 16384),
       (SELECT (count(*), max(xmin::text::bigint))::text FROM pg_attribute WHERE attrelid >= 16384),
       (SELECT (count(*), max(xmin::text::bigint))::text FROM pg_constraint),
       (SELECT (count(*), max(xmin::text::bigint))::text FROM pg_trigger),
       (SELECT (count(*), max(xmin::text::bigint))::text FROM pg_type WHERE oid >= 16384),
       (SELECT (count(*), max(xmin::text::bigint))::text FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp'),
       (SELECT (count(*), sum(hashtext(concat_ws('|', proname, proargtypes, prosrc, proacl, proowner, proconfig, prosecdef))))::text
        FROM pg_proc WHERE oid >= 16384),
       (SELECT (count(*), max(xmin::text::bigint))::text FROM pg_db_role_setting),
       (SELECT xmin::text FROM pg_database WHERE datname = current_database())
"""
_STRANGERS = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


# What reads, and what holds an operation together, need not be said again; an event is written by a function.
_EVENT = "SELECT audit_record"
_NO_WRITE = ("SELECT", "SAVEPOINT", "RELEASE")


class OutOfHand(Exception):
    """A copy is the only or the faster way."""


@dataclass(frozen=True)
class Content:
    """What a database holds: the rows of the tables that have any, as COPY writes them, and where its sequences stand."""

    rows: Mapping[str, bytes]
    sequences: tuple[tuple[str, int, bool], ...]


class WorkersDatabase:
    """The database of one worker, which holds what the next test is to find."""

    def __init__(self, layout: Layout, name: str, template: str) -> None:
        self._layout, self._name, self._template = layout, name, template
        self._copy()
        self.plain = self.take()

    def take(self) -> Content:
        """Return what the database holds now, for `give` to bring back."""
        rows = {}
        self._note()
        for table in [table for table, (count, _) in self._marks.items() if count]:
            with self._session.cursor().copy(f'COPY "{table}" TO STDOUT'.encode()) as copy:
                rows[table] = b"".join(bytes(part) for part in copy)
        told = self._session.execute(self._where_sequences_stand).fetchall()
        self._base = self._holds = Content(rows, tuple(told))
        return self._base

    def spoil(self) -> None:
        """Say that a test may commit anything from here on."""
        self._holds = None

    def holds(self, content: Content) -> bool:
        """Tell whether there is nothing to do for `content` to be found."""
        return self._holds is content

    def give(self, content: Content) -> None:
        """Make the database hold exactly `content`. After a test that may have committed, nobody stays connected."""
        if self.holds(content):
            return
        try:
            self._refill(content)
        except (psycopg.Error, OutOfHand):
            self._copy()
            self._base = self._holds = self.plain
            self._refill(content)
        self._holds = content

    def connect(self) -> psycopg.Connection[Any]:
        """Connect as the superuser."""
        return psycopg.connect(self._layout.conninfo(database=self._name), autocommit=True)

    def close(self) -> None:
        """Leave the database."""
        self._session.close()

    def remove(self) -> None:
        """Leave the database, and nothing of it."""
        self._session.close()
        with self._maintenance() as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{self._name}" WITH (FORCE)'.encode())

    def _maintenance(self) -> closing[psycopg.Connection[Any]]:
        return closing(psycopg.connect(self._layout.conninfo(database="postgres"), autocommit=True))

    def _copy(self) -> None:
        if hasattr(self, "_session"):
            self._session.close()
        with self._maintenance() as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{self._name}" WITH (FORCE)'.encode())
            embedded.create_database(connection, self._name, self._template)
        embedded.own_schema(self._layout, self._name)
        self._session = self.connect()
        self._session.prepare_threshold = 1
        # To start other processes takes longer than to read.
        self._session.execute("SET max_parallel_workers_per_gather = 0")
        self._dead: Counter[str] = Counter()
        tables = [
            row[0] for row in self._session.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ]
        # An update moves xmin, a deletion the count: together they tell whether anybody wrote.
        self._measure = " UNION ALL ".join(
            f"SELECT '{table}', count(*), coalesce(max(xmin::text::bigint), 0) FROM public.\"{table}\""
            for table in tables
        ).encode()
        sequences = [row[0] for row in self._session.execute("SELECT sequencename FROM pg_sequences")]
        self._where_sequences_stand = " UNION ALL ".join(
            f"SELECT '{name}', last_value, is_called FROM public.\"{name}\"" for name in sequences
        ).encode()
        self._wakeful = dict(self._session.execute(_WAKEFUL).fetchall())
        self._note()

    def _note(self) -> None:
        self._marks = self._measured()
        self._schema = self._session.execute(_SCHEMA).fetchone()

    def _measured(self) -> dict[str, tuple[int, int]]:
        return {table: (count, newest) for table, count, newest in self._session.execute(self._measure)}

    def _refill(self, content: Content) -> None:
        if self._holds is None:
            self._session.execute(_STRANGERS)
        if self._session.execute(_SCHEMA).fetchone() != self._schema:
            raise OutOfHand("the schema was changed")
        marks, base = self._measured(), self._base
        stale = {
            table
            for table, mark in marks.items()
            if mark != self._marks[table] or base.rows.get(table) != content.rows.get(table)
        }
        full = [table for table in stale if marks[table][0]]
        if sum(marks[table][0] for table in full) > FEW_ROWS:
            raise OutOfHand("a copy is faster")
        with self._session.transaction():
            self._session.execute("SET LOCAL session_replication_role = replica")
            self._write_bodies(dict.fromkeys(self._wakeful, _IDLE))
            for table in full:
                self._session.execute(f'DELETE FROM "{table}"'.encode())
            for table in stale & content.rows.keys():
                with self._session.cursor().copy(f'COPY "{table}" FROM STDIN'.encode()) as copy:
                    copy.write(content.rows[table])
            for name, last, called in content.sequences:
                self._session.execute("SELECT setval(%s::text::regclass, %s, %s)", (name, last, called))
            self._session.execute("SET CONSTRAINTS ALL IMMEDIATE")
            self._write_bodies(self._wakeful)
        self._sweep({table: marks[table][0] for table in full})
        self._base = content
        self._marks = self._measured()

    def _sweep(self, deleted: Mapping[str, int]) -> None:
        """Free what was deleted, once it is much: the server itself looks only each minute."""
        self._dead.update(deleted)
        for table in [table for table, count in self._dead.items() if count > MANY_DEAD]:
            self._session.execute(f'VACUUM "{table}"'.encode())
            del self._dead[table]

    def _write_bodies(self, bodies: Mapping[int, str]) -> None:
        self._session.execute(_WRITE_BODIES, (list(bodies), list(bodies.values())))


@contextmanager
def written_down(connection: BaseDatabaseWrapper) -> Iterator[list[str]]:
    """Give a list that is filled with whatever is written meanwhile: to say that again at once takes a tenth of the time."""
    written: list[str] = []

    def listen(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith(_EVENT) or not sql.startswith(_NO_WRITE):
            assert not many
            written.append(psycopg.ClientCursor(connection.connection).mogrify(sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(listen):
        yield written
