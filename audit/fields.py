"""Teach Django the column types of the log: transaction ids, and the length of bytes."""

from typing import Any

from django.db import models
from django.db.models.functions import Length

models.BinaryField.register_lookup(Length)


class TransactionIdField(models.BigIntegerField):  # type: ignore[type-arg]  # Django's own class takes none at run time
    """PostgreSQL's 64-bit transaction id, which never wraps around."""

    def db_type(self, connection: Any) -> str:
        """Return the type (Any: Django types its connections so)."""
        return "xid8"

    def from_db_value(self, value: str | int | None, expression: object, connection: object) -> int | None:
        """Read it as a number."""
        return None if value is None else int(value)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> str | None:  # noqa: FBT001, FBT002 (Django's signature)
        """Write it as text, since there is no cast from a number (Any: Django's signature)."""
        return None if value is None else str(value)
