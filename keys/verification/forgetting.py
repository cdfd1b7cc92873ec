"""Forget what verifiers have long read: changes, leases that ran out, and which counts were added."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from keys.models import UsageBatch, VerificationChange, Verifier

# Whoever was away for longer than an hour reads everything anew (keys.verification.feed), so a day is plenty.
LEASES_KEPT: Final = timedelta(days=7)
BATCHES_KEPT: Final = timedelta(days=30)


def forget_verifying(*, before: datetime) -> int:
    """Delete changes from before `before`, and leases and batches that are older still; returns how many rows."""
    rows = (
        VerificationChange.objects.filter(at__lt=before),
        Verifier.objects.filter(valid_until__lt=before - LEASES_KEPT),
        UsageBatch.objects.filter(added_at__lt=before - BATCHES_KEPT),
    )
    return sum(each.delete()[0] for each in rows)
