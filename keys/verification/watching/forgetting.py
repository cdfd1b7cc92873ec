"""Forget what verifiers have long read: changes, leases that ran out, and which counts were added."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db.models import Max

from keys.models import UsageBatch, VerificationChange, Verifier

# Longer than any transaction is open.
CHANGES_APART: Final = timedelta(hours=1)
LEASES_KEPT: Final = timedelta(days=7)
BATCHES_KEPT: Final = timedelta(days=30)


def forget_verifying(*, before: datetime) -> int:
    """Delete changes from before `before`, and leases and batches that are older still; returns how many rows.

    The last of those changes stay: whoever was away for so long that some are gone has not seen these either, and it shows
    (keys.verification.memory.lease).
    """
    last = VerificationChange.objects.filter(at__lt=before).aggregate(at=Max("at"))["at"] or before
    rows = (
        VerificationChange.objects.filter(at__lt=last - CHANGES_APART),
        Verifier.objects.filter(valid_until__lt=before - LEASES_KEPT),
        UsageBatch.objects.filter(added_at__lt=before - BATCHES_KEPT),
    )
    return sum(each.delete()[0] for each in rows)
