"""Write down what the clock has already ended. Verification asks the clock itself and waits for none of this."""

from __future__ import annotations

from datetime import datetime

from audit import clock
from audit.actor import Actor
from keys.events import KeyShortened, VersionDeactivated, VersionShortened
from keys.lifecycle.transitions import change_version, locked_key, locked_versions, move_version, reseal
from keys.models import KeyVersion, ManagedKey
from keys.operations import operation, update
from keys.states import LIVING_VERSION_STATES, VersionState


@operation
def end_version(version: KeyVersion, *, actor: Actor) -> bool:
    """Move a version that its time has ended to deactivated, with the reason; False when there is nothing to write."""
    key = locked_key(version.managed_key)
    version = next(each for each in locked_versions(key) if each.pk == version.pk)
    at = clock.now()
    if VersionState(version.state) not in LIVING_VERSION_STATES:
        return False
    if KeyVersion.objects.living(at).filter(pk=version.pk).exists():
        return False
    ended_at, reason = end_by_clock(version, at=at)
    move_version(
        version,
        VersionState.DEACTIVATED,
        VersionDeactivated,
        actor=actor,
        at=at,
        columns={"ended_at": ended_at, "ended_reason": reason},
        reason=reason,
    )
    return True


def end_by_clock(version: KeyVersion, *, at: datetime) -> tuple[datetime, str]:
    """When the clock ended a version that is over, and why."""
    if version.activated_at is None:
        return version.claim_until, "claim-lapsed"
    if version.retire_at is not None and version.retire_at <= at:
        return version.retire_at, "retired"
    return version.expires_at or at, "expired"


def shorten_key(key: ManagedKey, *, until: datetime, actor: Actor, at: datetime, correlation: str) -> bool:
    """End a key's authorisation earlier, and its versions with it; part of a larger operation. Never later."""
    key = locked_key(key)
    versions = locked_versions(key)
    if key.revoked_at is not None or key.authorised_until <= until:
        return False
    update(
        key,
        KeyShortened,
        actor=actor,
        at=at,
        expected={"revoked_at": None},
        columns={"authorised_until": until},
        environment=key.environment.tag,
        correlation=correlation,
    )
    for version in versions:
        columns = {
            name: until
            for name in ("claim_until", "expires_at")
            if version.state in LIVING_VERSION_STATES
            and getattr(version, name) is not None
            and getattr(version, name) > until
        }
        if columns:
            change_version(version, VersionShortened, actor=actor, at=at, columns=columns)
        else:
            reseal(version)
    return True
