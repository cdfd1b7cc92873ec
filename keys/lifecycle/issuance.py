"""Bring keys and their versions into being; a version gets its secret when it is claimed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from audit.actor import Actor
from keys.errors import Conflict
from keys.events import KeyCreated
from keys.lifecycle.transitions import create_version
from keys.models import KeyVersion, ManagedKey
from keys.models.base import next_number
from keys.operations import insert, refuse_if_log_is_behind
from keys.states import CHOSEN_SUSPENSIONS, VersionState


def create_key(*, claim_until: datetime, actor: Actor, at: datetime, **columns: Any) -> ManagedKey:
    """Write the key and its first version; part of the operation that approved it."""
    refuse_if_log_is_behind()
    key = ManagedKey(number=next_number("keys_key_number"), created_at=at, **columns)
    insert(key, KeyCreated, actor=actor, at=at, environment=key.environment.tag)
    create_version(key, claim_until=claim_until, actor=actor, at=at)
    return key


def end_of(key: ManagedKey, *, at: datetime) -> datetime:
    """When a version claimed at `at` ends: after its cryptoperiod, or with the key's authorisation if that is first."""
    return min(at + timedelta(days=key.cryptoperiod_days), key.authorised_until)


def refuse_if_suspended(versions: list[KeyVersion]) -> None:
    """What somebody stopped on purpose comes back by a reinstatement, not by a replacement; a reported leak is replaced."""
    if any(each.state == VersionState.SUSPENDED and each.suspended_reason in CHOSEN_SUSPENSIONS for each in versions):
        raise Conflict("key_suspended")
