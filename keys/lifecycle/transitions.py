"""Write the state of a version: the only place that does, always with its row MAC; triggers tell verifiers."""

from __future__ import annotations

import copy
from datetime import datetime
from typing import Any

from audit.actor import Actor
from audit.events import Event
from keys.crypto.key_text import new_kid
from keys.doorbell import ring_after_commit
from keys.errors import Conflict
from keys.events import VersionCreated
from keys.models import KeyVersion, ManagedKey
from keys.operations import insert, update
from keys.sealing import mac_holds, mac_of
from keys.states import VERSION_MOVES, VersionState


def locked_key(key: ManagedKey) -> ManagedKey:
    """Lock the key and read it again. Whoever changes a version locks its key first, so there is one order of locks."""
    rows = ManagedKey.objects.select_related("environment", "service", "owner_team", "policy")
    return rows.select_for_update(of=("self",), no_key=True).get(pk=key.pk)


def locked_versions(key: ManagedKey) -> list[KeyVersion]:
    """All versions of a locked key, newest first, sharing that key object; call it before the key is changed."""
    versions = list(key.versions.select_for_update(of=("self",), no_key=True).order_by("-sequence"))
    for version in versions:
        version.managed_key = key
        version.is_intact = mac_holds(version)
    return versions


def create_version(key: ManagedKey, *, claim_until: datetime, actor: Actor, at: datetime) -> KeyVersion:
    """Add the next version, without a secret: that is minted when it is claimed."""
    last = key.versions.order_by("-sequence").values_list("sequence", flat=True).first() or 0
    version = KeyVersion(
        managed_key=key,
        sequence=last + 1,
        kid=new_kid(),
        created_at=at,
        claim_until=min(claim_until, key.authorised_until),
    )
    version.row_mac = mac_of(version)
    insert(version, VersionCreated, actor=actor, at=at, environment=key.environment.tag)
    return version


def move_version(
    version: KeyVersion,
    state: VersionState,
    event: type[Event],
    *,
    actor: Actor,
    at: datetime,
    columns: dict[str, Any] | None = None,
    **facts: Any,
) -> KeyVersion:
    """Move a locked version to `state` (NIST SP 800-57 Part 1, section 7); raises Conflict when that move does not exist."""
    now = VersionState(version.state)
    if state != now and state not in VERSION_MOVES[now]:
        raise Conflict("wrong_version_state", state=str(now), wanted=str(state))
    return _write(version, event, actor=actor, at=at, columns={"state": str(state), **(columns or {})}, **facts)


def change_version(
    version: KeyVersion, event: type[Event], *, actor: Actor, at: datetime, columns: dict[str, Any], **facts: Any
) -> KeyVersion:
    """Change columns other than the state, under a new row MAC."""
    return _write(version, event, actor=actor, at=at, columns=columns, **facts)


def reseal(version: KeyVersion) -> None:
    """Fit the row MAC to columns of the key that changed; the key's own event tells what."""
    if version.is_intact:
        KeyVersion.objects.filter(pk=version.pk, state=version.state).update(row_mac=mac_of(version))
    ring_after_commit()


def _write(
    version: KeyVersion, event: type[Event], *, actor: Actor, at: datetime, columns: dict[str, Any], **facts: Any
) -> KeyVersion:
    after = copy.copy(version)
    for name, value in columns.items():
        setattr(after, name, value)
    # A row that was changed behind our back can be stopped like any other, but no operation makes it sound again:
    # suspending and reinstating would otherwise put a fresh MAC under forged columns.
    row_mac = mac_of(after) if version.is_intact else version.row_mac
    update(
        version,
        event,
        actor=actor,
        at=at,
        expected={"state": version.state},
        columns={**columns, "row_mac": row_mac},
        environment=version.managed_key.environment.tag,
        **facts,
    )
    ring_after_commit()
    return version
