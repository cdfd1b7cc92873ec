"""Read what rules need to know about a key."""

from __future__ import annotations

from collections.abc import Iterable

from keys.models import KeyVersion, ManagedKey
from keys.policy.facts import KeyFacts
from keys.states import EnvironmentClass, VersionState


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
