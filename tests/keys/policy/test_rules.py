"""Every refusal of the rules happens for its reason, and the same facts without that reason are allowed."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from audit.actor import Actor, ActorKind, Auth, StepUp
from keys.policy import rules
from keys.policy.decisions import Decision, Deny
from keys.policy.facts import ActorFacts, KeyFacts, RequestFacts, RotationFacts
from keys.states import EnvironmentClass, RequestState, Role, RotationCause, TeamRole

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
ME, OTHER, THIRD = uuid4(), uuid4(), uuid4()
MINE, SERVICE, NAMED, ELSEWHERE = uuid4(), uuid4(), uuid4(), uuid4()
PROD, DEV = uuid4(), uuid4()
DEVELOPER, APPROVER, LEAD = (frozenset({role}) for role in (TeamRole.DEVELOPER, TeamRole.APPROVER, TeamRole.LEAD))


def actor(*purposes: str, at: datetime = AT) -> Actor:
    steps = tuple(StepUp(purpose=each, method="totp", at=at) for each in purposes)
    return Actor(kind=ActorKind.PERSON, id=str(ME), auth=Auth(mfa=True, step_ups=steps))


def person(teams: dict[UUID, frozenset[TeamRole]] | None = None, *roles: Role, active: bool = True) -> ActorFacts:
    mine = teams or {}
    return ActorFacts(person_id=ME, active=active, roles=frozenset(roles), teams=mine, seats={ME: mine})


def program(*scopes: str, team: UUID = MINE, environment: UUID = PROD) -> ActorFacts:
    return ActorFacts(
        key_id=ME, active=True, environment_id=environment, teams={team: frozenset()}, scopes=frozenset(scopes)
    )


MACHINE = Actor(kind=ActorKind.PROGRAM, id=str(ME))
ADMIN = person(None, Role.ADMINISTRATOR)
RESPONDER = person(None, Role.RESPONDER)
OWNER = person({MINE: DEVELOPER})
OWNER_LEAD = person({MINE: LEAD})
SERVICE_APPROVER = person({SERVICE: APPROVER})
NAMED_APPROVER = person({NAMED: APPROVER})
NOBODY = ActorFacts(person_id=ME)
SHELL = ActorFacts(active=True, operator=True)
REQUEST = RequestFacts(
    state=RequestState.PENDING,
    lapses_at=AT + timedelta(days=1),
    digest="d",
    requester_id=OTHER,
    requested_by_key_id=None,
    recipient_id=OTHER,
    editor_id=OTHER,
    behind_program=frozenset(),
    owner_team_id=MINE,
    service_team_id=SERVICE,
    approver_team_id=NAMED,
    environment_class=EnvironmentClass.PRODUCTION,
)
KEY = KeyFacts(
    owner_team_id=MINE,
    service_team_id=SERVICE,
    recipient_id=ME,
    environment_id=PROD,
    environment_class=EnvironmentClass.PRODUCTION,
    revoked=False,
)


def approve(
    who: ActorFacts = SERVICE_APPROVER,
    request: RequestFacts = REQUEST,
    *,
    seat: UUID | None = ME,
    ready: bool = True,
    signed: bool = False,
    by: Actor | None = None,
    at: datetime = AT,
) -> Decision:
    return rules.may_approve(by or actor("approve"), who, request, seat=seat, factor_ready=ready, signed=signed, at=at)


def stop(who: ActorFacts, key: KeyFacts = KEY, by: Actor | None = None) -> Decision:
    return rules.may_revoke(by or actor("revoke"), who, key, at=AT)


def request(who: ActorFacts = OWNER, *, team: UUID = MINE, environment: UUID = PROD) -> Decision:
    return rules.may_request(who, owner_team_id=team, environment_id=environment)


def claim(who: ActorFacts = OWNER, key: KeyFacts = KEY, by: Actor | None = None) -> Decision:
    return rules.may_claim(by or actor("claim"), who, key, at=AT)


def reinstate(who: ActorFacts, key: KeyFacts = KEY) -> Decision:
    return rules.may_reinstate(actor("reinstate"), who, key, at=AT)


def stop_rotation(
    who: ActorFacts, *, cause: RotationCause = RotationCause.LEAVER, old_known_to: frozenset[UUID] = frozenset()
) -> Decision:
    rotation = RotationFacts(cause=cause, old_known_to=old_known_to)
    return rules.may_stop_rotation(actor("claim"), who, KEY, rotation, at=AT)


def offer(who: ActorFacts, key: KeyFacts = KEY) -> Decision:
    return rules.may_offer_transfer(actor("handover"), who, key, at=AT)


def answer(who: ActorFacts, offered_by: UUID = OTHER) -> Decision:
    return rules.may_answer_transfer(actor("handover"), who, to_team_id=MINE, offered_by_id=offered_by, at=AT)


def accept(who: ActorFacts, proposed_by: UUID = OTHER, by: Actor | None = None) -> Decision:
    return rules.may_accept_proposal(by or actor("policy"), who, proposed_by_id=proposed_by, at=AT)


def change(who: ActorFacts, **changes: object) -> Decision:
    return rules.may_change_request(who, replace(REQUEST, **changes))  # type: ignore[arg-type]


delegate = replace(person(), seats={ME: {}, THIRD: {SERVICE: APPROVER}})

ALLOWED: dict[str, Callable[[], Decision]] = {
    "a member asks": request,
    "a program asks": lambda: request(program("requests:write")),
    "the requester changes": lambda: change(OWNER, requester_id=ME),
    "a program changes its own": lambda: change(program("requests:write"), requester_id=None, requested_by_key_id=ME),
    "a service approver": approve,
    "a named approver": lambda: approve(NAMED_APPROVER),
    "a delegate": lambda: approve(delegate, seat=THIRD),
    "signed instead of stepped up": lambda: approve(signed=True, by=actor()),
    "one moment before it lapses": lambda: approve(at=REQUEST.lapses_at - timedelta(seconds=1), signed=True),
    "step-up five minutes ago": lambda: approve(by=actor("approve", at=AT - timedelta(minutes=5))),
    "the recipient claims": claim,
    "owners revoke": lambda: stop(OWNER),
    "administrators revoke": lambda: stop(ADMIN),
    "responders revoke": lambda: stop(RESPONDER),
    "the shell revokes": lambda: stop(SHELL),
    "programs revoke": lambda: stop(program("keys:revoke")),
    "owners report a leak": lambda: rules.may_report_leak(OWNER, KEY),
    "programs report a leak": lambda: rules.may_report_leak(program("keys:revoke"), KEY),
    "administrators reinstate": lambda: reinstate(ADMIN),
    "leads reinstate": lambda: reinstate(OWNER_LEAD),
    "who suspended reinstates outside production": lambda: reinstate(
        ADMIN, replace(KEY, suspended_by=frozenset({str(ME)}), environment_class=EnvironmentClass.TEST)
    ),
    "the recipient offers": lambda: offer(OWNER),
    "a receiving lead answers": lambda: answer(OWNER_LEAD),
    "administrators administer": lambda: rules.may_administer(actor("policy"), ADMIN, purpose="policy", at=AT),
    "the second administrator accepts": lambda: accept(ADMIN),
    "administrators destroy": lambda: rules.may_destroy(actor("revoke"), ADMIN, at=AT),
    "auditors read": lambda: rules.may_read_log(person(None, Role.AUDITOR)),
    "programs read": lambda: rules.may_read_log(program("audit:read")),
}

DENIED: dict[str, tuple[str, Callable[[], Decision]]] = {
    "gone people ask": ("not_active", lambda: request(replace(OWNER, active=False))),
    "for another team": ("not_in_owner_team", lambda: request(team=ELSEWHERE)),
    "a program without the scope": ("scope_missing", lambda: request(program())),
    "a program elsewhere": ("other_environment", lambda: request(program("requests:write"), environment=DEV)),
    "somebody else's request": ("not_the_requester", lambda: change(OWNER)),
    "a request of nobody": ("not_the_requester", lambda: change(NOBODY_ACTIVE, requester_id=None)),
    "a program's without scope": (
        "scope_missing",
        lambda: change(program(), requester_id=None, requested_by_key_id=ME),
    ),
    "gone people change": ("not_active", lambda: change(NOBODY, requester_id=ME)),
    "programs approve": ("programs_never_approve", lambda: approve(program("requests:write"))),
    "gone approvers": ("not_active", lambda: approve(replace(SERVICE_APPROVER, active=False))),
    "the requester approves": ("approver_is_requester", lambda: approve(request=replace(REQUEST, requester_id=ME))),
    "who holds the program's key approves": (
        "approver_is_requester",
        lambda: approve(request=replace(REQUEST, requester_id=None, behind_program=frozenset({ME}))),
    ),
    "the recipient approves": ("approver_is_beneficiary", lambda: approve(request=replace(REQUEST, recipient_id=ME))),
    "the editor approves": ("approver_is_last_editor", lambda: approve(request=replace(REQUEST, editor_id=ME))),
    "a delegate of the requester": (
        "approver_is_requester",
        lambda: approve(delegate, replace(REQUEST, requester_id=THIRD), seat=THIRD),
    ),
    "no seat": ("not_an_approver", lambda: approve(seat=None)),
    "somebody else's seat": ("not_an_approver", lambda: approve(seat=THIRD)),
    "developers approve": ("not_an_approver", lambda: approve(person({SERVICE: DEVELOPER}))),
    "approvers of another team": ("not_an_approver", lambda: approve(person({ELSEWHERE: APPROVER}))),
    "a group no policy names": (
        "not_an_approver",
        lambda: approve(NAMED_APPROVER, replace(REQUEST, approver_team_id=None)),
    ),
    "twice": ("already_decided", lambda: approve(request=replace(REQUEST, decided_people=frozenset({ME})))),
    "a used seat": (
        "already_decided",
        lambda: approve(delegate, replace(REQUEST, decided_seats=frozenset({THIRD})), seat=THIRD),
    ),
    "after the end": ("request_not_pending", lambda: approve(request=replace(REQUEST, state=RequestState.DENIED))),
    "a lapsed request": ("request_lapsed", lambda: approve(at=REQUEST.lapses_at)),
    "a new factor": ("factor_too_new", lambda: approve(ready=False)),
    "no step-up": ("step_up_required", lambda: approve(by=actor("claim"))),
    "an old step-up": (
        "step_up_required",
        lambda: approve(by=actor("approve", at=AT - timedelta(minutes=5, seconds=1))),
    ),
    "a step-up from the future": (
        "step_up_required",
        lambda: approve(by=actor("approve", at=AT + timedelta(seconds=1))),
    ),
    "programs claim": ("only_people_claim", lambda: claim(program("keys:read"))),
    "gone people claim": ("not_active", lambda: claim(replace(OWNER, active=False))),
    "colleagues claim": ("not_the_recipient", lambda: claim(key=replace(KEY, recipient_id=OTHER))),
    "who left the team claims": ("not_in_owner_team", lambda: claim(person())),
    "claim without step-up": ("step_up_required", lambda: claim(by=actor())),
    "strangers revoke": ("may_not_stop_key", lambda: stop(person({ELSEWHERE: LEAD}))),
    "gone people revoke": ("not_active", lambda: stop(NOBODY)),
    "revoke without step-up": ("step_up_required", lambda: stop(OWNER, by=actor("suspend"))),
    "programs revoke elsewhere": ("other_environment", lambda: stop(program("keys:revoke", environment=DEV))),
    "programs revoke of others": ("not_in_owner_team", lambda: stop(program("keys:revoke", team=ELSEWHERE))),
    "programs revoke without scope": ("scope_missing", lambda: stop(program("keys:read"))),
    "strangers report a leak": (
        "may_not_stop_key",
        lambda: rules.may_report_leak(person(), replace(KEY, recipient_id=OTHER)),
    ),
    "gone people report": ("not_active", lambda: rules.may_report_leak(NOBODY, KEY)),
    "programs reinstate": ("only_people_reinstate", lambda: reinstate(program("keys:revoke"))),
    "developers reinstate": ("may_not_reinstate", lambda: reinstate(OWNER)),
    "who suspended reinstates": (
        "reinstate_needs_another",
        lambda: reinstate(ADMIN, replace(KEY, suspended_by=frozenset({str(ME)}))),
    ),
    "programs rotate": ("only_people_rotate", lambda: rules.may_rotate(actor("claim"), program(), KEY, at=AT)),
    "strangers rotate": (
        "may_not_rotate",
        lambda: rules.may_rotate(actor("claim"), person({ELSEWHERE: LEAD}), KEY, at=AT),
    ),
    "members stop what replaces a known secret": ("may_not_stop_replacement", lambda: stop_rotation(OWNER)),
    "who knows the secret stops its replacement": (
        "knows_the_old_secret",
        lambda: stop_rotation(OWNER_LEAD, old_known_to=frozenset({ME})),
    ),
    "strangers stop a rotation": (
        "may_not_rotate",
        lambda: stop_rotation(person({ELSEWHERE: LEAD}), cause=RotationCause.SCHEDULE),
    ),
    "owners act on many": (
        "may_not_act_on_many",
        lambda: rules.may_act_on_many(actor("revoke"), OWNER_LEAD, at=AT),
    ),
    "members name a recipient": (
        "may_not_name_recipient",
        lambda: rules.may_name_recipient(actor("handover"), OWNER, KEY, at=AT),
    ),
    "an administrator names themselves": (
        "recipient_needs_another",
        lambda: rules.may_name_recipient(actor("handover"), ADMIN, KEY, at=AT, recipient_id=ME),
    ),
    "programs hand over": ("only_people_hand_over", lambda: offer(program("keys:revoke"))),
    "a revoked key is handed over": ("key_revoked", lambda: offer(OWNER_LEAD, replace(KEY, revoked=True))),
    "strangers hand over": (
        "may_not_hand_over",
        lambda: offer(person({ELSEWHERE: LEAD}), replace(KEY, recipient_id=OTHER)),
    ),
    "a recipient who left hands over": ("may_not_hand_over", lambda: offer(person())),
    "no lead answers": ("not_lead_of_receiving_team", lambda: answer(OWNER)),
    "the offerer answers": ("handover_needs_another", lambda: answer(OWNER_LEAD, offered_by=ME)),
    "programs answer": ("only_people_hand_over", lambda: answer(program())),
    "nobody administers": (
        "not_active",
        lambda: rules.may_administer(actor("policy"), NOBODY, purpose="policy", at=AT),
    ),
    "others administer": (
        "not_an_administrator",
        lambda: rules.may_administer(actor("policy"), RESPONDER, purpose="policy", at=AT),
    ),
    "the proposer accepts": ("second_administrator_needed", lambda: accept(ADMIN, proposed_by=ME)),
    "the shell accepts": ("second_administrator_needed", lambda: accept(SHELL)),
    "gone people read the log": ("not_active", lambda: rules.may_read_log(NOBODY)),
    "others read the log": ("not_an_auditor", lambda: rules.may_read_log(RESPONDER)),
    "programs export every environment": (
        "range_is_for_people",
        lambda: rules.may_export_so(MACHINE, whole_range=True, with_private=False),
    ),
    "programs export personal data": (
        "private_is_for_people",
        lambda: rules.may_export_so(MACHINE, whole_range=False, with_private=True),
    ),
    "gone people cancel an export": ("not_active", lambda: rules.may_cancel_export(NOBODY, is_own=True)),
    "others cancel an export": (
        "export_of_others",
        lambda: rules.may_cancel_export(person(None, Role.AUDITOR), is_own=False),
    ),
}
NOBODY_ACTIVE = ActorFacts(active=True)


@pytest.mark.parametrize("name", ALLOWED)
def test_whoever_may_is_allowed(name: str) -> None:
    assert ALLOWED[name]()


@pytest.mark.parametrize("name", DENIED)
def test_denied_for_its_reason(name: str) -> None:
    code, decide = DENIED[name]
    decision = decide()
    assert isinstance(decision, Deny)
    assert decision.code == code


def test_every_refusal_of_the_rules_has_a_case() -> None:
    source = Path(rules.__file__).read_text() + Path(rules.__file__).with_name("step_up.py").read_text()
    assert set(re.findall(r'Deny\(\s*"([a-z_]+)"', source)) == {code for code, _ in DENIED.values()}
