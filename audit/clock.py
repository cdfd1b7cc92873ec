"""Tell the time of the database, the only clock that decides."""

from datetime import UTC, datetime

from django.db import connections


def now(using: str = "default") -> datetime:
    """Ask the database for clock_timestamp, after the lock: its own now is when the transaction began."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        at: datetime = cursor.fetchone()[0]
    return at.astimezone(UTC)
