"""Tell which buttons a key's page has for this person, and why one is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from audit import clock
from audit.actor import Actor
from keys.lifecycle.facts import key_facts
from keys.lifecycle.inventory import lives
from keys.models import KeyVersion, ManagedKey
from keys.people.standing import standing_of
from keys.policy.decisions import Decision
from keys.policy.facts import ActorFacts, KeyFacts
from keys.policy.rules import (
    may_claim,
    may_name_recipient,
    may_offer_transfer,
    may_reinstate,
    may_report_leak,
    may_request,
    may_revoke,
    may_rotate,
    may_suspend,
)
from keys.policy.step_up import but_for_step_up
from keys.states import VersionState
from portal.web.reasons import why_not
from portal.web.refusals import enforce_before


@dataclass(frozen=True, kw_only=True)
class Acts:
    """What this person may do with this key now; a missing step-up is asked for on the way."""

    claim: bool
    new_version: bool
    rotate: bool
    suspend: bool
    reinstate: bool
    reinstate_why_not: str
    revoke: bool
    leak: bool
    renew: bool
    hand_over: bool
    name_recipient: bool


def acts_on(key: ManagedKey, versions: Sequence[KeyVersion], *, actor: Actor, at: datetime) -> Acts:
    """Ask the same rules that the operations enforce."""
    who = standing_of(actor, at=at)
    facts = key_facts(key, versions)
    lives_on = key.revoked_at is None
    states = {version.state for version in versions if lives(version, at=at)}
    claimable = any(
        each.state == VersionState.PRE_ACTIVATION and each.digest is None and lives(each, at=at) for each in versions
    )
    claiming = but_for_step_up(may_claim(actor, who, facts, at=at)) and lives_on
    suspended = VersionState.SUSPENDED in states
    reinstating = may_reinstate(actor, who, facts, at=at)
    authorised = lives_on and key.authorised_until > at
    return Acts(
        claim=claiming and claimable,
        new_version=claiming and authorised and VersionState.PRE_ACTIVATION not in states,
        rotate=but_for_step_up(may_rotate(actor, who, facts, at=at))
        and authorised
        and VersionState.ACTIVE in states
        and not states & {VersionState.PRE_ACTIVATION, VersionState.SUSPENDED},
        suspend=but_for_step_up(may_suspend(actor, who, facts, at=at))
        and lives_on
        and bool(states & {VersionState.ACTIVE, VersionState.PRE_ACTIVATION}),
        reinstate=but_for_step_up(reinstating) and lives_on and suspended,
        reinstate_why_not="" if but_for_step_up(reinstating) or not (lives_on and suspended) else why_not(reinstating),
        revoke=but_for_step_up(may_revoke(actor, who, facts, at=at)) and lives_on,
        leak=bool(may_report_leak(who, facts)) and lives_on,
        renew=lives_on
        and bool(
            may_request(
                who,
                owner_team_id=key.owner_team_id,
                environment_id=key.environment_id,
            )
        ),
        hand_over=but_for_step_up(may_offer_transfer(actor, who, facts, at=at)) and lives_on,
        name_recipient=but_for_step_up(may_name_recipient(actor, who, facts, at=at)) and lives_on,
    )


class KeyRule(Protocol):
    """A rule about one key."""

    def __call__(self, actor: Actor, who: ActorFacts, key: KeyFacts, *, at: datetime) -> Decision: ...


def enforce_but_for_step_up(rule: KeyRule, key: ManagedKey, *, before: Callable[..., object], actor: Actor) -> None:
    """Refuse the page of an act that the operation `before` would refuse whatever is typed into it; on record."""
    at = clock.now()
    versions = KeyVersion.objects.visible_to(actor).filter(managed_key=key)
    decision = rule(actor, standing_of(actor, at=at), key_facts(key, versions), at=at)
    if not but_for_step_up(decision):
        enforce_before(before, key, decision, actor=actor)
