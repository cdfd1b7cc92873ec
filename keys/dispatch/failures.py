"""Remember what a reader could not react to, so that it comes again, later and later, and holds up nobody behind it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import transaction

from keys.models import FailedReaction

# Forgotten never: whoever repairs the cause finds everybody told within a day.
PAUSES: Final = tuple(timedelta(seconds=seconds) for seconds in (10, 60, 600, 3600, 6 * 3600, 24 * 3600))
MOST_AGAIN: Final = 50  # in one round, so that many failures do not hold up what is new
# From here on it is no hiccup: people are shown it.
TELLING: Final = 3

log = structlog.get_logger(__name__)


def tried(react: Callable[[], object]) -> Exception | None:
    """Run a reaction in a savepoint of its own; what it wrote before it failed is undone, and the error returned."""
    try:
        with transaction.atomic():
            react()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is noted and comes again
        return error
    return None


def note_failure(reader: str, leaf: int, error: Exception, *, at: datetime) -> None:
    """Put an event aside that could not be reacted to."""
    row, is_new = FailedReaction.objects.get_or_create(
        reader=reader,
        leaf=leaf,
        defaults={"first_at": at, "next_attempt_at": at + PAUSES[0], "error": _named(error)},
    )
    if not is_new:
        postpone(row, error, at=at)
    log.error("reaction_failed", exc_info=error, job=reader)


def postpone(row: FailedReaction, error: Exception, *, at: datetime) -> None:
    """Let it come again after a longer pause."""
    pause = PAUSES[min(row.failures, len(PAUSES) - 1)]
    FailedReaction.objects.filter(pk=row.pk).update(
        failures=row.failures + 1, next_attempt_at=at + pause, error=_named(error)
    )


def due_again(reader: str, *, at: datetime) -> list[FailedReaction]:
    """What a reader put aside and is to try again now, the oldest first."""
    rows = FailedReaction.objects.filter(reader=reader, next_attempt_at__lte=at)
    return list(rows.order_by("leaf")[:MOST_AGAIN])


def unanswered() -> int:
    """At how many events readers failed again and again."""
    return FailedReaction.objects.filter(failures__gte=TELLING).count()


def _named(error: Exception) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"[:120]
