"""Read what decides whether a client may replace its own secret, and tell it how its rotation stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from audit import clock
from audit.actor import Actor
from keys.models import KeyVersion, Policy, Rotation
from keys.people.standing import standing_of
from keys.policy.addresses import outside_networks
from keys.policy.decisions import Deny
from keys.policy.enforcement import enforce
from keys.policy.fetch_rules import FetchFacts, may_fetch
from keys.states import WAITING_ROTATION_STATES, RotationCause, RotationState, VersionState

SECOND_TOKEN: Final = "second-token"  # noqa: S105 - the reason of an end, not a secret
SOON: Final = timedelta(minutes=1)
SOMETIME: Final = timedelta(minutes=15)  # a person may start a rotation at any time, and waits for the client
NEVER: Final = timedelta(hours=1)


def fetch_facts(version: KeyVersion, rotation: Rotation | None, *, address: str | None) -> FetchFacts:
    """The facts about a version that was presented, and the open rotation of its key."""
    key = version.managed_key
    policy = Policy.objects.current().filter(service=key.service, environment=key.environment).first()
    quarrels = Rotation.objects.filter(old_version=version, ended_reason=SECOND_TOKEN)
    return FetchFacts(
        key_id=key.pk,
        approved=key.self_fetch,
        policy_allows=policy is not None and policy.self_fetch_allowed,
        has_networks=bool(key.networks),
        inside=not outside_networks(key.networks, address),
        cause=RotationCause(rotation.cause) if rotation is not None else None,
        contested=quarrels.exists(),
    )


@dataclass(frozen=True, kw_only=True)
class Seen:
    """How the rotation of a key stands for whoever holds `version`. `why_not`: the code why it may not fetch, or nothing."""

    version: KeyVersion
    rotation: Rotation | None
    why_not: str
    is_current: bool
    check_after: timedelta

    @property
    def ready(self) -> bool:
        """Whether a fetch would be answered with a secret now; for a secret handed over already only with the same token."""
        rotation = self.rotation
        if rotation is None or self.why_not or rotation.old_version_id != self.version.pk:
            return False
        return rotation.state in WAITING_ROTATION_STATES


def see_rotation(version: KeyVersion, *, address: str | None, actor: Actor) -> Seen:
    """Tell the holder of `version` how far the replacement is. Reads only; Denied from outside the key's networks."""
    key, at = version.managed_key, clock.now()
    rows = Rotation.objects.visible_to(actor).open().filter(managed_key=key)
    rotation = rows.select_related("new_version", "old_version").first()
    facts = fetch_facts(version, rotation, address=address)
    decision = may_fetch(standing_of(actor, at=at), facts)
    if not facts.inside:
        enforce(decision)
    newest = key.versions.living(at).filter(state=VersionState.ACTIVE).order_by("-sequence").first()
    is_current = newest is not None and newest.pk == version.pk
    why_not = decision.code if isinstance(decision, Deny) else ""
    return Seen(
        version=version,
        rotation=rotation,
        why_not=why_not,
        is_current=is_current,
        check_after=_check_after(rotation, is_current=is_current, may=not why_not, at=at),
    )


def _check_after(rotation: Rotation | None, *, is_current: bool, may: bool, at: datetime) -> timedelta:
    if not may:
        return NEVER
    if rotation is None or not is_current:
        return SOMETIME
    if rotation.state == RotationState.SCHEDULED:
        return min(max(rotation.due_at - at, SOON), SOMETIME)
    return SOON if rotation.state in WAITING_ROTATION_STATES else SOMETIME
