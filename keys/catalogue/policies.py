"""Follow one version of the rules by the next; weaker production rules wait for a second administrator."""

from __future__ import annotations

from dataclasses import asdict, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from audit import clock
from audit.actor import Actor
from audit.canonical import JsonValue
from keys.errors import Conflict, Invalid
from keys.events import PolicyProposalDecided, PolicyProposed, PolicyVersioned
from keys.models import Environment, Membership, Policy, PolicyProposal, Scope, Service, Team
from keys.operations import insert, locked, operation, refuse_if_log_is_behind, update
from keys.people.standing import standing_of
from keys.policy.bounds import Rules, faults, weakened
from keys.policy.enforcement import enforce
from keys.policy.rules import may_accept_proposal, may_administer
from keys.states import EnvironmentClass, KeyKind, TeamRole

DEFAULTS = {
    EnvironmentClass.DEVELOPMENT: (0, 0, 90, 365),
    EnvironmentClass.TEST: (1, 0, 90, 365),
    EnvironmentClass.PRODUCTION: (2, 1, 90, 365),
}


def default_rules(environment_class: EnvironmentClass) -> Rules:
    """What holds until a service sets its own: production two approvals, one from the service's side; test one; development none."""
    approvals, of_service, cryptoperiod, authorised = DEFAULTS[environment_class]
    return Rules(
        approvals_required=approvals,
        service_approvals_required=of_service,
        approver_team_id=None,
        max_cryptoperiod_days=cryptoperiod,
        max_authorised_days=authorised,
        networks_required=False,
        ticket_pattern="",
        kinds=(str(KeyKind.BEARER),),
        self_fetch_allowed=False,
        lapse_days=7,
        claim_hours=72,
        longest_overlap_hours=14 * 24,
        deadline_wins=False,
        brownouts=False,
        unused_days=90,
        signature_required=False,
        signed_scopes=(),
        signature_window_seconds=60,
    )


def current_policy(service: Service, environment: Environment) -> Policy | None:
    """The rules in force."""
    return Policy.objects.filter(service=service, environment=environment).order_by("-version").first()


def rules_of(policy: Policy) -> Rules:
    """A policy's rules as a value."""
    values = {each.name: getattr(policy, each.name) for each in fields(Rules)}
    return Rules(**{**values, "kinds": tuple(policy.kinds), "signed_scopes": tuple(policy.signed_scopes)})


@operation(grants="sometimes")
def set_policy(
    service: Service, *, environment: Environment, rules: Rules, base_version: int, actor: Actor
) -> Policy | PolicyProposal:
    """Put the next version of the rules in force, or propose it when it would weaken production.

    `base_version` is the version the administrator looked at; Conflict("policy_changed") when it is not the newest any more.
    """
    service = locked(service)
    at = clock.now()
    enforce(may_administer(actor, standing_of(actor, at=at), purpose="policy", at=at))
    check_rules(rules, service=service, environment=environment)
    current = current_policy(service, environment)
    if (current.version if current else 0) != base_version:
        raise Conflict("policy_changed")
    weaker = weakened(rules_of(current), rules) if current else []
    if weaker and environment.is_production and current is not None:
        return _propose(service, environment, rules, weaker, current=current, actor=actor, at=at)
    if weaker:
        refuse_if_log_is_behind()
    return add_version(service, environment, rules, actor=actor, at=at)


def check_rules(rules: Rules, *, service: Service, environment: Environment) -> None:
    """Refuse rules that contradict themselves, or that ask for approvals nobody can give (an empty set approves nothing)."""
    found = faults(rules)
    if environment.is_production and rules.approvals_required < 1:
        found["approvals_required"] = ("out_of_range", {"least": 1, "most": 10})
    known = Scope.objects.filter(service=service, name__in=rules.signed_scopes).values_list("name", flat=True)
    unknown = sorted(set(rules.signed_scopes) - set(known))
    if unknown:
        found.setdefault("signed_scopes", ("unknown_scope", {"scopes": unknown[:20]}))
    if found:
        raise Invalid(found)
    approvers = Membership.objects.living().filter(roles__contains=[str(TeamRole.APPROVER)])
    of_service = approvers.filter(team_id=service.owner_team_id).exists()
    if rules.service_approvals_required and not of_service:
        raise Invalid.field("service_approvals_required", "no_approvers")
    if rules.approver_team_id and not Team.objects.living().filter(pk=rules.approver_team_id).exists():
        raise Invalid.field("approver_team_id", "unknown_team")
    named = rules.approver_team_id and approvers.filter(team_id=rules.approver_team_id).exists()
    if rules.approvals_required and not (of_service or named):
        raise Invalid.field("approvals_required", "no_approvers")


def add_version(service: Service, environment: Environment, rules: Rules, *, actor: Actor, at: datetime) -> Policy:
    """Write the next version; part of a larger operation that holds the service's lock."""
    current = current_policy(service, environment)
    policy = Policy(
        service=service,
        environment=environment,
        version=(current.version if current else 0) + 1,
        created_at=at,
        **{**asdict(rules), "kinds": list(rules.kinds), "signed_scopes": list(rules.signed_scopes)},
    )
    return insert(policy, PolicyVersioned, actor=actor, at=at, environment=environment.tag)


def _propose(
    service: Service,
    environment: Environment,
    rules: Rules,
    weaker: list[str],
    *,
    current: Policy,
    actor: Actor,
    at: datetime,
) -> PolicyProposal:
    if PolicyProposal.objects.waiting().filter(service=service, environment=environment).exists():
        raise Conflict("proposal_waiting")
    if actor.kind != "person":
        raise Conflict("second_administrator_needed")
    proposal = PolicyProposal(
        service=service,
        environment=environment,
        base_version=current.version,
        rules=rules_as_json(rules),
        weakened=weaker,
        proposed_by_id=UUID(actor.id),
        created_at=at,
    )
    return insert(proposal, PolicyProposed, actor=actor, at=at, environment=environment.tag)


def rules_as_json(rules: Rules) -> dict[str, JsonValue]:
    """Rules as a proposal stores them."""
    team = str(rules.approver_team_id) if rules.approver_team_id else None
    lists: dict[str, JsonValue] = {"kinds": list(rules.kinds), "signed_scopes": list(rules.signed_scopes)}
    return {**asdict(rules), **lists, "approver_team_id": team}


def rules_from_json(stored: dict[str, Any]) -> Rules:
    """Rules as a proposal stored them."""
    team = UUID(stored["approver_team_id"]) if stored["approver_team_id"] else None
    tuples = {"kinds": tuple(stored["kinds"]), "signed_scopes": tuple(stored["signed_scopes"])}
    return Rules(**{**stored, **tuples, "approver_team_id": team})


@operation(grants="sometimes")
def decide_proposal(proposal: PolicyProposal, *, accept: bool, actor: Actor) -> Policy | None:
    """Accept weaker production rules as a second administrator, or refuse them (the proposer may take them back)."""
    service = locked(proposal.service)
    proposal = locked(proposal)
    at = clock.now()
    who = standing_of(actor, at=at)
    if accept:
        enforce(may_accept_proposal(actor, who, proposed_by_id=proposal.proposed_by_id, at=at))
    else:
        enforce(may_administer(actor, who, purpose="policy", at=at))
    if proposal.decided_at is not None:
        raise Conflict("already_decided")
    rules = rules_from_json(proposal.rules)
    current = current_policy(service, proposal.environment)
    if accept and (current is None or current.version != proposal.base_version):
        raise Conflict("policy_changed")
    update(
        proposal,
        PolicyProposalDecided,
        actor=actor,
        at=at,
        expected={"decided_at": None},
        columns={"decided_at": at, "decided_by_id": who.person_id, "outcome": "accepted" if accept else "refused"},
        environment=proposal.environment.tag,
    )
    if not accept:
        return None
    refuse_if_log_is_behind()
    check_rules(rules, service=service, environment=proposal.environment)
    return add_version(service, proposal.environment, rules, actor=actor, at=at)
