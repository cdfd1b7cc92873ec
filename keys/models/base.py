"""Share what every governed table has: a uuid, a birth, and numbers people can say aloud."""

from __future__ import annotations

import uuid

from django.db import connection, models


def one_of(column: str, values: type) -> models.Q:
    """The condition that `column` holds one of an enumeration's words."""
    return models.Q(**{f"{column}__in": [str(value) for value in values]})  # type: ignore[attr-defined]


class Row(models.Model):
    """A row with an identifier that tells nothing."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField()

    class Meta:
        abstract = True


def next_number(sequence: str) -> int:
    """The next of the small numbers by which people name requests and keys (a gap means nothing)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(%s::regclass)", [sequence])
        return int(cursor.fetchone()[0])
