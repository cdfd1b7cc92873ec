"""Move the end of a key's authorisation, by an approved request and by nothing else."""

from __future__ import annotations

from datetime import datetime, timedelta

from audit.actor import Actor
from keys.errors import Conflict
from keys.events import KeyRenewed
from keys.lifecycle.transitions import locked_key, locked_versions, reseal
from keys.models import KeyRequest, ManagedKey
from keys.operations import update
from keys.states import LIVING_VERSION_STATES


def renew_key(key: ManagedKey, *, content_days: int, request: KeyRequest, actor: Actor, at: datetime) -> ManagedKey:
    """Authorise `key` for `content_days` from now on; part of the operation that approved it. Versions end as before."""
    key = locked_key(key)
    versions = locked_versions(key)
    if key.revoked_at is not None:
        raise Conflict("key_revoked")
    update(
        key,
        KeyRenewed,
        actor=actor,
        at=at,
        expected={"revoked_at": None, "authorised_until": key.authorised_until},
        columns={"authorised_until": at + timedelta(days=content_days)},
        environment=key.environment.tag,
        correlation=str(request.pk),
    )
    for version in versions:
        if version.state in LIVING_VERSION_STATES:
            reseal(version, at=at)
    return key
