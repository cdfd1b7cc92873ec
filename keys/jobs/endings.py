"""Sweep what the clock has ended: many in a transaction, and one by one when one of them cannot be written."""

from __future__ import annotations

import time
from typing import Final

import structlog
from django.db.models import QuerySet

from audit import clock
from audit.actor import Actor
from keys.jobs.runs import code_of
from keys.jobs.sweeping import EVERYBODYS, LONGEST_SECONDS, sweep
from keys.lifecycle.ending import end_versions
from keys.lifecycle.expiry import end_version
from keys.models import JobLease, KeyVersion

# A transaction of a few tenths of a second: whoever wants one of its keys waits no longer.
BATCH: Final = 250

log = structlog.get_logger(__name__)


def end_overdue(kind: str, *, batch: int = BATCH, seconds: float = LONGEST_SECONDS) -> int:
    """Write down every version that is over, for so long at most; returns how many were ended."""
    done, actor, deadline = 0, Actor.job(end_version.__name__), time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            ended = end_versions(_free(), most=batch, actor=actor)
        except EVERYBODYS:
            raise
        except Exception as error:
            log.warning("batch_not_ended", code=code_of(error), exc_info=error)
            ended = sweep(kind, KeyVersion.objects.over_by(clock.now()), end_version, most=batch)
        if not ended:
            break
        done += ended
    return done


def _free() -> QuerySet[KeyVersion]:
    """Those that are over, and that nobody has found to be impossible a moment ago."""
    at = clock.now()
    held = JobLease.objects.held(end_version.__name__, at).values("subject_id")
    return KeyVersion.objects.over_by(at).exclude(pk__in=held)
