"""Move the end of a key's authorisation, by an approved request and by nothing else."""

from __future__ import annotations

from datetime import datetime, timedelta

from audit.actor import Actor
from keys.errors import Conflict
from keys.events import KeyRenewed
from keys.lifecycle.rotation_steps import schedule_next
from keys.lifecycle.transitions import locked_key, locked_versions, reseal
from keys.models import KeyRequest, ManagedKey
from keys.operations import refuse_if_log_is_behind, update
from keys.states import VersionState


def renew_key(
    key: ManagedKey,
    *,
    request: KeyRequest,
    opens: tuple[tuple[str, ...], tuple[str, ...]],
    cryptoperiod_days: int,
    authorised_days: int,
    actor: Actor,
    at: datetime,
) -> ManagedKey:
    """Authorise `key` for `authorised_days` from now on; part of the operation that approved it. Versions end as before.

    `opens`: the approved scopes and networks. Raises Conflict when the key is not any more what the approvers saw.
    """
    refuse_if_log_is_behind()
    key = locked_key(key)
    versions = locked_versions(key)
    if key.revoked_at is not None:
        raise Conflict("key_revoked")
    until = at + timedelta(days=authorised_days)
    seen = (request.owner_team_id, request.recipient_id, *map(list, opens))
    if seen != (key.owner_team_id, key.recipient_id, key.scopes, key.networks):
        raise Conflict("renewal_out_of_date")
    if until <= key.authorised_until:
        raise Conflict("renewal_shortens")
    update(
        key,
        KeyRenewed,
        actor=actor,
        at=at,
        expected={"revoked_at": None, "authorised_until": key.authorised_until},
        columns={"authorised_until": until, "cryptoperiod_days": cryptoperiod_days},
        environment=key.environment.tag,
        correlation=str(request.pk),
    )
    working = next((each for each in versions if each.state == VersionState.ACTIVE), None)
    if working is not None:
        schedule_next(key, working, actor=actor, at=at)
    for version in versions:
        reseal(version)  # also the ended ones: their row MAC covers the key's authorisation
    return key
