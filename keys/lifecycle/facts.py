"""Read what rules need to know about a key."""

from __future__ import annotations

from collections.abc import Iterable

from keys.models import KeyVersion, ManagedKey, Rotation
from keys.policy.facts import KeyFacts, RotationFacts
from keys.states import EnvironmentClass, RotationCause, VersionState


def key_facts(key: ManagedKey, versions: Iterable[KeyVersion] = ()) -> KeyFacts:
    """The facts of a key; give its versions where it matters who suspended them."""
    return KeyFacts(
        owner_team_id=key.owner_team_id,
        service_team_id=key.service.owner_team_id,
        recipient_id=key.recipient_id,
        environment_id=key.environment_id,
        environment_class=EnvironmentClass(key.environment.environment_class),
        revoked=key.revoked_at is not None,
        suspended_by=frozenset(
            stopper
            for each in versions
            if each.state == VersionState.SUSPENDED
            for stopper in each.suspended_by.split()
        ),
    )


def rotation_facts(rotation: Rotation) -> RotationFacts:
    """The facts of a rotation."""
    shown = rotation.old_version.claimed_by_id if rotation.old_version is not None else None
    return RotationFacts(
        cause=RotationCause(rotation.cause), old_known_to=frozenset() if shown is None else frozenset({shown})
    )
