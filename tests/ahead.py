"""Let the database's clock run ahead: the schema `travel` has a clock_timestamp of its own, found before PostgreSQL's.

The rooms ask `clock_timestamp()` by that name only, so whoever has this search path decides by the later time; a function of
PostgreSQL with a path of its own does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
from django.db import connection

_MAKE = """
CREATE SCHEMA IF NOT EXISTS travel;
CREATE OR REPLACE FUNCTION travel.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT pg_catalog.clock_timestamp() + coalesce(nullif(current_setting('travel.ahead', true), ''), '0')::interval
$$;
GRANT USAGE ON SCHEMA travel TO PUBLIC;
"""


@contextmanager
def travelling(superuser: psycopg.Connection[Any]) -> Iterator[None]:
    """Give this connection of the tests a clock that `move_on` moves; afterwards it tells the time of the machine again."""
    superuser.execute(_MAKE)  # type: ignore[arg-type]  # psycopg wants literal SQL
    with connection.cursor() as cursor:
        cursor.execute("SHOW search_path")
        path = cursor.fetchone()[0]
        # pg_catalog is searched first unless it is named; named last, ours is found before.
        cursor.execute(f"SET search_path TO travel, {path}, pg_catalog")
        cursor.execute("SET travel.ahead TO '0'")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"SET search_path TO {path}")
        superuser.execute("DROP SCHEMA travel CASCADE")


def stand_at(ahead: timedelta) -> None:
    """Let it be that much later than it is."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('travel.ahead', %s, false)", [f"{ahead.total_seconds()} seconds"])
