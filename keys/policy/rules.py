"""Decide who may do what to requests and keys. Pure functions; one condition a line; no rule means Deny."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from audit.actor import Actor, ActorKind
from keys.policy.decisions import ALLOW, Decision, Deny
from keys.policy.facts import ActorFacts, KeyFacts, RequestFacts, RotationFacts
from keys.policy.step_up import needs_step_up
from keys.states import (
    KNOWN_TO_OTHERS,
    OPEN_REQUEST_STATES,
    EnvironmentClass,
    RequestState,
    Role,
    TeamRole,
)

NUDGE_PERIOD = timedelta(hours=12)
CLAIM_REPEAT_PERIOD = timedelta(seconds=60)


def may_request(who: ActorFacts, *, owner_team_id: UUID, environment_id: UUID) -> Decision:
    """A member asks for their own team; a program for the team that owns it. Who will claim was found among its members."""
    if not who.active:
        return Deny("not_active", "request.active")
    if not who.is_in(owner_team_id):
        return Deny("not_in_owner_team", "request.team")
    if who.key_id is not None and "requests:write" not in who.scopes:
        return Deny("scope_missing", "request.scope", {"scope": "requests:write"})
    if who.key_id is not None and who.environment_id != environment_id:
        return Deny("other_environment", "request.environment")
    return ALLOW


def may_change_request(who: ActorFacts, request: RequestFacts) -> Decision:
    """Only whoever asked may edit, withdraw or nudge, and only while the request is open."""
    if not who.active:
        return Deny("not_active", "request.active")
    if not _asked_by(who, request):
        return Deny("not_the_requester", "request.own")
    if who.key_id is not None and "requests:write" not in who.scopes:
        return Deny("scope_missing", "request.scope", {"scope": "requests:write"})
    return ALLOW


def _asked_by(who: ActorFacts, request: RequestFacts) -> bool:
    if who.person_id is not None:
        return request.requester_id == who.person_id
    return who.key_id is not None and request.requested_by_key_id == who.key_id


def is_open(request: RequestFacts, *, at: datetime) -> bool:
    """Whether the request still waits: by its state and by the clock."""
    return request.state in OPEN_REQUEST_STATES and at < request.lapses_at


def may_decide(who: ActorFacts, request: RequestFacts, *, seat: UUID | None) -> Decision:
    """Whether this person may decide this request from this seat, whatever they decide (DESIGN, invariant 7)."""
    if who.person_id is None:
        return Deny("programs_never_approve", "approve.person")
    if not who.active:
        return Deny("not_active", "approve.active")
    for person in {who.person_id, seat or who.person_id}:
        if request.requester_id == person or person in request.behind_program:
            return Deny("approver_is_requester", "approve.separation")
        if request.recipient_id == person or person in request.holders:
            return Deny("approver_is_beneficiary", "approve.separation")
        if request.editor_id == person:
            return Deny("approver_is_last_editor", "approve.separation")
    if seat is None or seat not in who.seats:
        return Deny("not_an_approver", "approve.role")
    if not (is_service_side(who, request, seat=seat) or is_named_approver(who, request, seat=seat)):
        return Deny("not_an_approver", "approve.role")
    if who.person_id in request.decided_people:
        return Deny("already_decided", "approve.once")
    if seat in request.decided_seats:
        return Deny("already_decided", "approve.once")
    return ALLOW


def may_approve(
    actor: Actor,
    who: ActorFacts,
    request: RequestFacts,
    *,
    seat: UUID | None,
    factor_ready: bool,
    signed: bool,
    at: datetime,
) -> Decision:
    """Whether this person may approve, narrow, ask back or deny now: the right seat, a settled factor, presence."""
    decision = may_decide(who, request, seat=seat)
    if not decision:
        return decision
    if request.state != RequestState.PENDING:
        return Deny("request_not_pending", "approve.state", {"state": str(request.state)})
    if at >= request.lapses_at:
        return Deny("request_lapsed", "approve.state")
    if not factor_ready:
        return Deny("factor_too_new", "approve.factor-age")
    if not signed:
        return needs_step_up(actor, "approve", at=at)
    return ALLOW


def is_service_side(who: ActorFacts, request: RequestFacts, *, seat: UUID) -> bool:
    """Whether that seat approves for the service's own team."""
    return TeamRole.APPROVER in who.seats.get(seat, {}).get(request.service_team_id, frozenset())


def is_named_approver(who: ActorFacts, request: RequestFacts, *, seat: UUID) -> bool:
    """Whether that seat approves for the group the policy names."""
    if request.approver_team_id is None:
        return False
    return TeamRole.APPROVER in who.seats.get(seat, {}).get(request.approver_team_id, frozenset())


def seats_for(who: ActorFacts, request: RequestFacts) -> list[UUID]:
    """The seats from which this person could decide; their own first."""
    own_first = sorted(who.seats, key=lambda seat: (seat != who.person_id, str(seat)))
    return [seat for seat in own_first if may_decide(who, request, seat=seat)]


def may_claim(actor: Actor, who: ActorFacts, key: KeyFacts, *, at: datetime) -> Decision:
    """Only the person named in the approved request receives the secret, in a browser, with presence."""
    if who.person_id is None:
        return Deny("only_people_claim", "claim.person")
    if not who.active:
        return Deny("not_active", "claim.active")
    if who.person_id != key.recipient_id:
        return Deny("not_the_recipient", "claim.recipient")
    if not who.is_in(key.owner_team_id):
        return Deny("not_in_owner_team", "claim.team")
    return needs_step_up(actor, "claim", at=at)


def may_rotate(actor: Actor, who: ActorFacts, key: KeyFacts, *, at: datetime) -> Decision:
    """Whoever owns a key, and administrators and responders, have its secret replaced, ask back and undo; who may claim is another rule."""
    if not who.active or who.person_id is None:
        return Deny("only_people_rotate", "rotate.person")
    if not (who.is_in(key.owner_team_id) or who.has(Role.ADMINISTRATOR, Role.RESPONDER)):
        return Deny("may_not_rotate", "rotate.role")
    return needs_step_up(actor, "claim", at=at)


def may_stop_rotation(
    actor: Actor, who: ActorFacts, key: KeyFacts, rotation: RotationFacts, *, at: datetime
) -> Decision:
    """Whoever may rotate a key stops a rotation that waits, so that the old secret works on.

    Where that one is known to others, only those who answer for the key do, and never who was shown it: they would keep the key.
    """
    if rotation.cause in KNOWN_TO_OTHERS and who.person_id in rotation.old_known_to:
        return Deny("knows_the_old_secret", "rotate.separation")
    if rotation.cause in KNOWN_TO_OTHERS and not (
        who.is_lead_of(key.owner_team_id) or who.has(Role.ADMINISTRATOR, Role.RESPONDER)
    ):
        return Deny("may_not_stop_replacement", "rotate.known-to-others")
    return may_rotate(actor, who, key, at=at)


def may_override_retirement(actor: Actor, who: ActorFacts, *, at: datetime) -> Decision:
    """Only an administrator moves the end of an old version, on record."""
    return may_administer(actor, who, purpose="revoke", at=at)


def may_suspend(actor: Actor, who: ActorFacts, key: KeyFacts, *, at: datetime) -> Decision:
    """Owners, administrators and responders stop a key at once; programs of the owner team with the scope."""
    return _may_stop(actor, who, key, purpose="suspend", at=at)


def may_revoke(actor: Actor, who: ActorFacts, key: KeyFacts, *, at: datetime) -> Decision:
    """Revocation needs no approval: whoever may stop a key may end it."""
    return _may_stop(actor, who, key, purpose="revoke", at=at)


def _may_stop(actor: Actor, who: ActorFacts, key: KeyFacts, *, purpose: str, at: datetime) -> Decision:
    if not who.active:
        return Deny("not_active", f"{purpose}.active")
    if who.operator:
        return ALLOW
    if who.key_id is not None:
        return _program_may_stop(who, key, purpose=purpose)
    if who.has(Role.ADMINISTRATOR, Role.RESPONDER) or who.is_in(key.owner_team_id):
        return needs_step_up(actor, purpose, at=at)
    return Deny("may_not_stop_key", f"{purpose}.role")


def _program_may_stop(who: ActorFacts, key: KeyFacts, *, purpose: str) -> Decision:
    if not who.is_in(key.owner_team_id):
        return Deny("not_in_owner_team", f"{purpose}.team")
    if who.environment_id != key.environment_id:
        return Deny("other_environment", f"{purpose}.environment")
    if "keys:revoke" not in who.scopes:
        return Deny("scope_missing", f"{purpose}.scope", {"scope": "keys:revoke"})
    return ALLOW


def may_act_on_many(actor: Actor, who: ActorFacts, *, at: datetime) -> Decision:
    """Administrators and responders stop many keys at once, or have their secrets replaced, with presence."""
    if not who.active:
        return Deny("not_active", "emergency.active")
    if who.operator:
        return ALLOW
    if who.person_id is None or not who.has(Role.ADMINISTRATOR, Role.RESPONDER):
        return Deny("may_not_act_on_many", "emergency.role")
    return needs_step_up(actor, "revoke", at=at)


def may_report_leak(who: ActorFacts, key: KeyFacts) -> Decision:
    """Whoever owns or answers for a key may say it leaked, at once and without a second factor: no blame, no delay."""
    if not who.active:
        return Deny("not_active", "leak.active")
    if who.key_id is not None:
        return _program_may_stop(who, key, purpose="leak")
    if who.is_in(key.owner_team_id) or who.has(Role.ADMINISTRATOR, Role.RESPONDER) or who.person_id == key.recipient_id:
        return ALLOW
    return Deny("may_not_stop_key", "leak.role")


def may_reinstate(actor: Actor, who: ActorFacts, key: KeyFacts, *, at: datetime) -> Decision:
    """Administrators, responders or a lead of the owners; in production never whoever suspended it."""
    if not who.active or who.person_id is None:
        return Deny("only_people_reinstate", "reinstate.person")
    if not (who.has(Role.ADMINISTRATOR, Role.RESPONDER) or who.is_lead_of(key.owner_team_id)):
        return Deny("may_not_reinstate", "reinstate.role")
    if key.environment_class == EnvironmentClass.PRODUCTION and str(who.person_id) in key.suspended_by:
        return Deny("reinstate_needs_another", "reinstate.separation")
    return needs_step_up(actor, "reinstate", at=at)


def may_offer_transfer(actor: Actor, who: ActorFacts, key: KeyFacts, *, at: datetime) -> Decision:
    """A lead of the owners, the recipient, or an administrator offers a key to another team."""
    if not who.active or who.person_id is None:
        return Deny("only_people_hand_over", "handover.person")
    if key.revoked:
        return Deny("key_revoked", "handover.state")
    if not (who.is_lead_of(key.owner_team_id) or who.has(Role.ADMINISTRATOR) or _is_living_recipient(who, key)):
        return Deny("may_not_hand_over", "handover.role")
    return needs_step_up(actor, "handover", at=at)


def may_name_recipient(
    actor: Actor, who: ActorFacts, key: KeyFacts, *, at: datetime, recipient_id: UUID | None = None
) -> Decision:
    """A lead of the owners or an administrator says who of the team receives a key's secrets, above all after a leaver.

    Administrators let themselves into any team: one who does not lead it would hold a key that nobody approved for them.
    `recipient_id` is None while nobody is chosen.
    """
    if not who.active or who.person_id is None:
        return Deny("only_people_hand_over", "recipient.person")
    if not (who.is_lead_of(key.owner_team_id) or who.has(Role.ADMINISTRATOR)):
        return Deny("may_not_name_recipient", "recipient.role")
    if who.person_id == recipient_id and not who.is_lead_of(key.owner_team_id):
        return Deny("recipient_needs_another", "recipient.separation")
    return needs_step_up(actor, "handover", at=at)


def _is_living_recipient(who: ActorFacts, key: KeyFacts) -> bool:
    return who.person_id == key.recipient_id and who.is_in(key.owner_team_id)


def may_answer_transfer(
    actor: Actor, who: ActorFacts, *, to_team_id: UUID, offered_by_id: UUID, at: datetime
) -> Decision:
    """A lead of the receiving team answers, and never whoever offered: both sides agree means two people."""
    if not who.active or who.person_id is None:
        return Deny("only_people_hand_over", "handover.person")
    if not who.is_lead_of(to_team_id):
        return Deny("not_lead_of_receiving_team", "handover.role")
    if who.person_id == offered_by_id:
        return Deny("handover_needs_another", "handover.separation")
    return needs_step_up(actor, "handover", at=at)


def may_administer(actor: Actor, who: ActorFacts, *, purpose: str, at: datetime) -> Decision:
    """Administrators set the catalogue, policies and people, with presence; so may the shell and the first start."""
    if not who.active:
        return Deny("not_active", f"{purpose}.active")
    if who.operator:
        return ALLOW
    if not who.has(Role.ADMINISTRATOR):
        return Deny("not_an_administrator", f"{purpose}.role")
    return needs_step_up(actor, purpose, at=at)


def may_accept_proposal(actor: Actor, who: ActorFacts, *, proposed_by_id: UUID, at: datetime) -> Decision:
    """Weaker production rules need a second administrator."""
    decision = may_administer(actor, who, purpose="policy", at=at)
    if not decision:
        return decision
    if who.person_id is None or who.person_id == proposed_by_id:
        return Deny("second_administrator_needed", "policy.separation")
    return ALLOW


def may_read_log(who: ActorFacts) -> Decision:
    """Auditors and administrators read the whole log; reading is recorded."""
    if not who.active:
        return Deny("not_active", "log.active")
    if who.operator or who.has(Role.AUDITOR, Role.ADMINISTRATOR):
        return ALLOW
    if who.key_id is not None and "audit:read" in who.scopes:
        return ALLOW
    return Deny("not_an_auditor", "log.role")


def may_export_so(actor: Actor, *, whole_range: bool, with_private: bool) -> Decision:
    """Whoever reads the log takes events out; personal data and every environment at once are for people to ask for."""
    if actor.kind == ActorKind.PROGRAM and whole_range:
        return Deny("range_is_for_people", "export.range")
    if actor.kind == ActorKind.PROGRAM and with_private:
        return Deny("private_is_for_people", "export.private")
    return ALLOW


def may_cancel_export(who: ActorFacts, *, is_own: bool) -> Decision:
    """Whoever asked for it, and administrators, where it holds up others; it only takes away, so it needs no presence."""
    if not who.active:
        return Deny("not_active", "export.active")
    if not is_own and not who.has(Role.ADMINISTRATOR):
        return Deny("export_of_others", "export.cancel")
    return ALLOW


def may_destroy(actor: Actor, who: ActorFacts, *, at: datetime) -> Decision:
    """Administrators destroy what is left of ended versions, with presence."""
    return may_administer(actor, who, purpose="revoke", at=at)
