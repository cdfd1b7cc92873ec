"""Write down what each witness said: for the page of the parts, and verified cosignatures for proofs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.db import transaction

from audit import clock, log
from audit.actor import Actor
from audit.events import WitnessContradicted
from audit.models import AuditCheckpoint, AuditCosignature, AuditWitness
from audit.sealer_folder import SealerState
from audit.witness.base import Seen, Witness

PUBLISHER = Actor.system("sealer")
CONTRADICTIONS = frozenset({"ahead", "fork"})
"""Reasons that say more than silence: the witness remembers another log."""


def enter(witness: Witness, patience: timedelta, *, using: str) -> timedelta:
    """Have a row for this witness; return how long it has been silent."""
    at = clock.now(using)
    row, _ = AuditWitness.objects.using(using).update_or_create(
        name=witness.name,
        defaults={"kind": witness.kind, "is_elsewhere": witness.is_elsewhere},
        create_defaults={"kind": witness.kind, "is_elsewhere": witness.is_elsewhere, "silent_at": at + patience},
    )
    return max(at - (row.silent_at - patience), timedelta())


def forget_others(names: Sequence[str], *, using: str) -> None:
    """Remove the rows of witnesses that are not asked any more."""
    AuditWitness.objects.using(using).exclude(name__in=names).delete()


def answered(witness: Witness, state: SealerState, seen: Seen, patience: timedelta, *, using: str) -> None:
    """Note the size, and keep the cosignature where the database has this very checkpoint."""
    with transaction.atomic(using=using):
        enter(witness, patience, using=using)
        at = clock.now(using)
        AuditWitness.objects.using(using).filter(name=witness.name).update(
            size=seen.size, seen_at=at, silent_at=at + patience, failed_at=None, reason=""
        )
        found = seen.cosignature
        if found is not None and AuditCheckpoint.objects.using(using).filter(size=seen.size, note=state.note).exists():
            row = AuditCosignature(
                checkpoint_id=seen.size,
                witness=found.witness,
                signature=found.line,
                signed_at=datetime.fromtimestamp(found.at, tz=UTC),
            )
            AuditCosignature.objects.using(using).bulk_create([row], ignore_conflicts=True)


def failed(witness: Witness, code: str, patience: timedelta, *, contradicts: bool, using: str) -> None:
    """Note why it did not take the checkpoint; another history is an event of its own, the first time."""
    with transaction.atomic(using=using):
        enter(witness, patience, using=using)
        at = clock.now(using)
        rows = AuditWitness.objects.using(using).filter(name=witness.name)
        is_new = rows.exclude(reason=code).exists()
        rows.update(failed_at=at, reason=code)
        if contradicts and is_new:
            told = WitnessContradicted(target_id="log", reason=code, witness=witness.name)
            log.record(told, actor=PUBLISHER, at=at, using=using)
