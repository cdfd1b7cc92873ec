"""Make versions sound after their rows followed the log: no living one without its secret, and row MACs that fit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from audit.actor import Actor
from audit.canonical import JsonValue
from audit.governed import column_value
from audit.log import record
from keys.events import VersionDeactivated
from keys.models import KeyVersion
from keys.restoring.rows import Columns
from keys.sealing import mac_holds, mac_of
from keys.states import LIVING_VERSION_STATES, VersionState

SECRET_LOST: Final = "secret-lost"  # noqa: S105 - the reason of an end, not a secret
_STRICTNESS: Final = {str(state): place for place, state in enumerate(VersionState)}
_CHUNK: Final = 2000


def stricter_state(one: Columns, other: Columns) -> Columns:
    """Return that of two accounts of a version which lets less through."""
    return max(other, one, key=lambda row: _STRICTNESS[str(row["state"])])


def without_secret(told: Columns, stored: Columns | None, *, at: datetime) -> Columns:
    """Return how a version ends whose secret was claimed after the backup: its digest is in no event. Empty when it need not."""
    has_digest = stored is not None and stored["digest"] is not None
    if has_digest or told["claimed_at"] is None or VersionState(str(told["state"])) not in LIVING_VERSION_STATES:
        return {}
    ended = {"state": str(VersionState.DEACTIVATED), "ended_at": at, "ended_reason": SECRET_LOST}
    return {name: column_value(value) for name, value in ended.items()}


def tell_end(version_id: str, told: Columns, end: Columns, *, actor: Actor, at: datetime) -> None:
    """Record such an end; whoever reads the log tells the owners to claim a new version."""
    change: Mapping[str, tuple[JsonValue, JsonValue]] = {name: (told[name], value) for name, value in end.items()}
    version = KeyVersion.objects.select_related("managed_key__environment").get(pk=version_id)
    event = VersionDeactivated(
        target_id=version_id, change=change, reason=SECRET_LOST, environment=version.managed_key.environment.tag
    )
    record(event, actor=actor, at=at)


def intact_versions() -> dict[UUID, bool]:
    """Return for each version whether its row MAC holds."""
    return {version.pk: mac_holds(version) for version in _versions()}


def fit_row_macs(before: Mapping[UUID, bool]) -> None:
    """Give each version that changed the row MAC that fits; one that was not sound before stays so: it is evidence."""
    for version in _versions():
        if before.get(version.pk, True) and not mac_holds(version):
            KeyVersion.objects.filter(pk=version.pk).update(row_mac=mac_of(version))


def _versions() -> list[KeyVersion]:
    rows = KeyVersion.objects.select_related("managed_key__environment", "managed_key__service")
    return list(rows.iterator(chunk_size=_CHUNK))
