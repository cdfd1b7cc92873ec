"""Tell how each witness is, from what the sealer wrote down of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from django.db.models.functions import Now

from audit.models import AuditWitness
from audit.witness.register import CONTRADICTIONS


class State(StrEnum):
    """What matters of a witness; the worst first."""

    CONTRADICTS = "contradicts"  # it remembers another log
    SILENT = "silent"  # it has not answered for too long
    FAILING = "failing"  # it did not take the last checkpoint, and is tried again
    WAITING = "waiting"  # it was not asked yet
    SEES = "sees"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One witness and its state."""

    witness: AuditWitness
    state: State


def standings(using: str = "default") -> list[Standing]:
    """Return all witnesses, by name; the database's clock tells who is silent."""
    rows = AuditWitness.objects.using(using).order_by("name")
    silent = set(rows.filter(silent_at__lt=Now()).values_list("name", flat=True))
    return [Standing(witness=row, state=_state(row, is_silent=row.name in silent)) for row in rows]


def _state(row: AuditWitness, *, is_silent: bool) -> State:
    if row.reason in CONTRADICTIONS:
        return State.CONTRADICTS
    if is_silent:
        return State.SILENT
    if row.reason:
        return State.FAILING
    return State.SEES if row.seen_at else State.WAITING
