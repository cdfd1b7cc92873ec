"""Mark the time in which a database is behind the log that it was sealed into; meanwhile nothing may be valid."""

from __future__ import annotations

from django.db import connections
from django.db.models.functions import Now

from audit.models import AuditInterruption

ROLLBACK, NEW_ORIGIN = "rollback", "new-origin"


def open_interruption(using: str = "default") -> AuditInterruption | None:
    """Return the one that has not ended."""
    return AuditInterruption.objects.using(using).filter(ended_at=None).first()


def is_interrupted(using: str = "default") -> bool:
    """Tell whether the rows may be older than what the log says."""
    return AuditInterruption.objects.using(using).filter(ended_at=None).exists()


def begin_interruption(cause: str, *, from_leaf: int, upto_leaf: int, using: str = "sealer") -> None:
    """Begin one, if none is open (as the sealer)."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_interruption (cause, from_leaf, upto_leaf) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (cause, from_leaf, upto_leaf),
        )


def mark_recovered(*, cause: str, upto_leaf: int, using: str = "sealer") -> None:
    """Say that the log is whole again, and the governed rows are next (as the sealer)."""
    rows = AuditInterruption.objects.using(using).filter(ended_at=None)
    rows.update(cause=cause, recovered_at=Now(), upto_leaf=upto_leaf)


def end_interruption(interruption: AuditInterruption, *, by: str) -> None:
    """Say that the rows follow the log again (as the application)."""
    AuditInterruption.objects.filter(pk=interruption.pk, ended_at=None).update(ended_at=Now(), ended_by=by)
