"""Remember over a page what an administrator saw: which rows, in which condition; signed, so that it cannot be swapped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core import signing
from django.db import models

from keys.admin.acts import Act
from keys.errors import Conflict

# How long a page may lie open before what it showed counts as too old to act on.
SEEN_SECONDS = 30 * 60
_SALT = "keys.admin.selection"


@dataclass(frozen=True)
class Selection:
    """The rows of an act by primary key, each with what was seen of it."""

    seen: dict[str, str]

    def of(self, row: models.Model) -> str:
        """What was seen of a row."""
        return self.seen[str(row.pk)]


def sign(act: Act[Any], rows: Sequence[models.Model]) -> str:
    """Write what the page shows, for the form of the page."""
    return signing.dumps(
        {"act": act.name, "rows": {str(row.pk): act.seen(row) for row in rows}}, salt=_SALT, compress=True
    )


def read(act: Act[Any], text: str) -> Selection:
    """Read what a page showed. Conflict when the page is of another act, forged, or lay open for too long."""
    try:
        told = signing.loads(text, salt=_SALT, max_age=SEEN_SECONDS)
    except signing.BadSignature as refused:
        raise Conflict("page_too_old") from refused
    if told["act"] != act.name:
        raise Conflict("page_too_old")
    return Selection(told["rows"])
