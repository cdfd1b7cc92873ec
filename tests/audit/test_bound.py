"""Cursors whose values the server binds open what Django's would open."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from django.db import close_old_connections

from audit.bound import bound_cursor


def _session() -> int:
    with bound_cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (number,) = cursor.fetchone()
    return int(number)


@pytest.mark.usefixtures("committed_db")
def test_a_session_that_the_server_ended_is_noticed_by_the_next_request(superuser: psycopg.Connection[Any]) -> None:
    ended = _session()
    superuser.execute("SELECT pg_terminate_backend(%s, 5000)", [ended])
    close_old_connections()  # as Django does when a request begins
    assert _session() != ended
