"""Open cursors whose values the server binds: a statement that comes back is planned once a session, and bytes stay bytes.

Django's own cursors write every value into the text. So each statement is new to the server, which parses and plans it again,
and a page of payloads travels as twice as many hexadecimal digits.
"""

from __future__ import annotations

from typing import Any

import psycopg
from django.db import connections
from django.db.backends.utils import CursorWrapper
from psycopg.pq import Format


def bound_cursor(using: str = "default") -> CursorWrapper:
    """Return a cursor to be used in a `with`; it counts and raises as Django's do, and reads what the server holds in binary."""
    connection = connections[using]
    connection.close_if_health_check_failed()  # as Django's own cursors do: the server may have been restarted meanwhile
    connection.ensure_connection()
    plain: Any = psycopg.Cursor(connection.connection)  # Any: the stubs know no cursor but Django's
    plain.format = Format.BINARY
    return connection.make_debug_cursor(plain) if connection.queries_logged else connection.make_cursor(plain)
