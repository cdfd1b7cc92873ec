"""Count how often one person was wrong, under one lock a person, and close the door for a while."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from keys.models.factors import Tries

LOCK_PERIOD = timedelta(minutes=30)
T = TypeVar("T", bound=Tries)


def locked_tries(kind: type[T], person_id: UUID) -> T:
    """Return the counter of a person, locked until the end of the transaction: guesses wait in line."""
    kind._default_manager.bulk_create([kind(person_id=person_id)], ignore_conflicts=True)
    return kind._default_manager.select_for_update().get(pk=person_id)


def is_closed(tries: Tries, *, most: int, at: datetime) -> bool:
    """Whether there were so many wrong tries that none is looked at now."""
    return tries.failures >= most and tries.last_failed_at is not None and at < tries.last_failed_at + LOCK_PERIOD


def count_failure(tries: Tries, *, most: int, at: datetime) -> bool:
    """Count one more; True when this one closed the door."""
    recent = tries.last_failed_at is not None and at < tries.last_failed_at + LOCK_PERIOD
    failures = tries.failures + 1 if recent else 1
    type(tries)._default_manager.filter(pk=tries.pk).update(failures=failures, last_failed_at=at)
    return failures >= most


def forget_tries(tries: Tries) -> None:
    """Begin to count anew."""
    if tries.failures:
        type(tries)._default_manager.filter(pk=tries.pk).update(failures=0, last_failed_at=None)
