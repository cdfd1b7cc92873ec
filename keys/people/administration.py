"""Decide who enters the administration at all; a refused attempt is on record, and the door looks like a wall."""

from __future__ import annotations

from audit import clock
from audit.actor import Actor
from keys.operations import operation
from keys.people.standing import standing_of
from keys.policy.decisions import ALLOW, Deny
from keys.policy.enforcement import enforce
from keys.states import Role


@operation
def enter_administration(*, actor: Actor) -> None:
    """Let administrators in. What they may then do is decided by each operation, with presence."""
    who = standing_of(actor, at=clock.now())
    is_administrator = who.active and who.has(Role.ADMINISTRATOR)
    enforce(ALLOW if is_administrator else Deny("not_an_administrator", "administration.role"), hidden=True)
