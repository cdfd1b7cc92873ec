"""Move many rows in PostgreSQL's binary form: bytes travel as they are, not as twice as many hexadecimal digits.

Both go past Django's cursor, which cannot, so errors are made Django's here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"


def fetch_rows(query: str, values: Sequence[Any] = (), *, using: str | BaseDatabaseWrapper) -> list[tuple[Any, ...]]:
    """Return what the query selects (Any: values and columns of any type); `using` may be the connection of another thread.

    Planned for these values each time: a plan for any values must guess how long a page is.
    """
    wrapper = connections[using] if isinstance(using, str) else using
    wrapper.ensure_connection()
    with wrapper.wrap_database_errors, psycopg.Cursor(wrapper.connection) as cursor:
        return cursor.execute(query, values, binary=True, prepare=False).fetchall()


def array_of(numbers: Iterable[int]) -> str:
    """Write a PostgreSQL array, to be cast: as a list each number would be adapted by itself."""
    return f"{{{','.join(map(str, numbers))}}}"


def copy_in(target: str, rows: bytes, *, using: str) -> None:
    """Append rows to `target`, a table with its columns in words of ours, packed as COPY's binary format has them."""
    wrapper = connections[using]
    wrapper.ensure_connection()
    statement = f"COPY {target} FROM STDIN (FORMAT BINARY)".encode()
    with wrapper.wrap_database_errors, psycopg.Cursor(wrapper.connection) as cursor, cursor.copy(statement) as copy:
        copy.write(_HEADER + rows + _TRAILER)
