"""Say which events an endpoint may be told of: those that its owners may see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from uuid import UUID

from django.db import models

from audit.events import catalogue
from keys.dispatch.cursor import Told
from keys.models import Approval, KeyRequest, KeyTransfer, KeyVersion, ManagedKey, Rotation

Subject = ManagedKey | KeyRequest
Teams = frozenset[UUID]

_MODELS: Final[dict[str, type[models.Model]]] = {
    "key": ManagedKey,
    "version": KeyVersion,
    "rotation": Rotation,
    "request": KeyRequest,
    "approval": Approval,
    "transfer": KeyTransfer,
}
# What is told of the thing that an event is about goes through the key or the request it belongs to.
_THROUGH: Final[dict[type[models.Model], Callable[[models.Model], models.Model]]] = {
    KeyVersion: lambda row: row.managed_key,  # type: ignore[attr-defined]
    Rotation: lambda row: row.managed_key,  # type: ignore[attr-defined]
    KeyTransfer: lambda row: row.managed_key,  # type: ignore[attr-defined]
    Approval: lambda row: row.request,  # type: ignore[attr-defined]
}


def kinds_for(*, whole_organisation: bool) -> tuple[str, ...]:
    """The actions that can be chosen: a team is told of keys and requests, administrators of everything."""
    return tuple(
        sorted(action for action, event in catalogue().items() if whole_organisation or event.target_type in _MODELS)
    )


def row_of(told: Told) -> models.Model | None:
    """The row that an event is about, of those that a team can own."""
    model = _MODELS.get(told.target_type)
    try:
        return model._base_manager.filter(pk=UUID(told.target_id)).first() if model is not None else None
    except ValueError:  # an event about nothing in particular: its target is a dash
        return None


def subject_of(row: models.Model | None) -> Subject | None:
    """The key or the request that a row is, or belongs to."""
    through = _THROUGH.get(type(row)) if row is not None else None
    found = through(row) if through is not None and row is not None else row
    return found if isinstance(found, ManagedKey | KeyRequest) else None


def teams_of(row: models.Model | None) -> Teams:
    """The teams whose members see the row: the owners, and those whose service it is about; both sides of a transfer."""
    subject = subject_of(row)
    if subject is None:
        return frozenset()
    if isinstance(row, KeyTransfer):
        return frozenset({row.from_team_id, row.to_team_id})
    return frozenset({subject.owner_team_id, subject.service.owner_team_id})
