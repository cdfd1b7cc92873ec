"""Turn what someone typed into a canonical request, or say field by field why not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from audit.actor import Actor
from keys.approvals.content import Content
from keys.approvals.networks import read_networks
from keys.catalogue.own_service import OWN_SERVICE, VERIFY_SCOPE
from keys.catalogue.policies import current_policy, rules_of
from keys.crypto.commitment import commit, new_salt
from keys.crypto.errors import Malformed
from keys.crypto.public_keys import read_public_key
from keys.errors import Invalid, Told
from keys.models import Environment, Membership, Person, Policy, Scope, Service, Team
from keys.policy.bounds import Problem, problems
from keys.policy.rotation_plan import USUAL_OVERLAP, RotationPlan
from keys.states import KeyKind, Overlap
from keys.text import line, paragraph

MOST_SCOPES = 50
LONGEST_DAYS = 3650
LIMITS = {"requests_per_minute": 1_000_000, "requests_per_day": 1_000_000_000}  # the most of each


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A wish as a door passes it on; nothing in it is trusted. Periods are in days; `recipient` None means the asker.

    `overlap` and `every_days` say how secrets are replaced; neither is the usual plan.
    """

    service: str
    environment: str
    owner_team: str
    name: str
    consumer: str
    purpose: str
    cryptoperiod_days: int
    authorised_days: int
    scopes: tuple[str, ...] = ()
    template: str = ""
    networks: tuple[str, ...] = ()
    ticket: str = ""
    kind: str = KeyKind.BEARER
    recipient: UUID | None = None
    self_fetch: bool = False
    overlap: str = ""
    every_days: int | None = None
    verifies_service: str = ""
    verifies_environment: str = ""
    limits: dict[str, int] = field(default_factory=dict)
    public_key: str = ""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A draft that passed: its content and the rows it speaks of."""

    content: Content
    service: Service
    environment: Environment
    owner_team: Team
    recipient: Person
    policy: Policy
    purpose: str
    purpose_salt: str


def prepare(draft: Draft, *, actor: Actor, renews: str | None = None) -> Prepared:
    """Check a draft against the catalogue and the policy. Raises Invalid with everything that is wrong; where it leads to no
    service, environment or policy, with that alone, since nobody knows then which rules hold."""
    told = Told()
    owner_team = told.read(None, _owner_team, draft, actor=actor)
    service, environment = _place(draft, told, actor=actor)
    policy = current_policy(service, environment)
    if policy is None:
        raise Invalid.field("environment", "no_policy")
    rules = rules_of(policy)
    recipient = told.read(None, _recipient, draft, actor=actor, owner_team=owner_team)
    salt = new_salt()
    purpose = told.read("", paragraph, draft.purpose, "purpose", least=10)
    content = Content(
        name=told.read("", line, draft.name, "name", most=80),
        service=service.slug,
        environment=environment.tag,
        owner_team=owner_team.slug if owner_team else "",
        recipient=str(recipient.pk) if recipient else "",
        consumer=told.read("", line, draft.consumer, "consumer", most=120),
        scopes=told.read((), _scopes, draft, service),
        networks=told.read(draft.networks, read_networks, draft.networks),
        kind=told.read(KeyKind.BEARER, line, draft.kind, "kind", most=12),
        cryptoperiod_days=told.read(rules.max_cryptoperiod_days, _days, draft.cryptoperiod_days, "cryptoperiod_days"),
        authorised_days=told.read(rules.max_authorised_days, _days, draft.authorised_days, "authorised_days"),
        purpose=commit(purpose, salt),
        ticket=told.read("", line, draft.ticket, "ticket", most=60, least=0),
        public_key=told.read(None, _public_key, draft),
        template=told.read("", line, draft.template, "template", most=120, least=0),
        limits=told.read({}, _limits, draft.limits),
        rotation=told.read(None, _rotation, draft),
        self_fetch=draft.self_fetch,
        verifies=told.read(
            None, _verifies, draft, service=service, environment=environment, owner_team=owner_team, actor=actor
        ),
        renews=renews,
    )
    told.add(problems(content.wish, rules))
    if owner_team is None or recipient is None or told.wrong:
        raise Invalid(told.wrong)
    return Prepared(
        content=content,
        service=service,
        environment=environment,
        owner_team=owner_team,
        recipient=recipient,
        policy=policy,
        purpose=purpose,
        purpose_salt=salt.hex(),
    )


def faults_of(draft: Draft, *, actor: Actor) -> dict[str, Problem]:
    """Everything for which `prepare` would refuse a draft: what a form says beside what it cannot read itself."""
    told = Told()
    told.read(None, prepare, draft, actor=actor)
    return told.wrong


def _place(draft: Draft, told: Told, *, actor: Actor) -> tuple[Service, Environment]:
    """The service and environment that the draft names and the asker may see."""
    service = Service.objects.visible_to(actor).living().filter(slug=draft.service, retires_at=None).first()
    environment = Environment.objects.visible_to(actor).filter(tag=draft.environment).first()
    if service is None:
        told.add({"service": ("unknown_service", {})})
    if environment is None:
        told.add({"environment": ("unknown_environment", {})})
    if service is None or environment is None:
        raise Invalid(told.wrong)
    return service, environment


def _owner_team(draft: Draft, *, actor: Actor) -> Team | None:
    team = Team.objects.visible_to(actor).living().filter(slug=draft.owner_team).first()
    if team is None:
        raise Invalid.field("owner_team", "unknown_team")
    return team


def _recipient(draft: Draft, *, actor: Actor, owner_team: Team | None) -> Person | None:
    """Who claims the secret: one of the owner team; without a team nobody can tell."""
    if owner_team is None:
        return None
    wanted = draft.recipient or (UUID(actor.id) if actor.kind == "person" else None)
    member = (
        Membership.objects.living().filter(team=owner_team, person_id=wanted).select_related("person").first()
        if wanted
        else None
    )
    if member is None:
        raise Invalid.field(
            "recipient" if draft.recipient or actor.kind != "person" else "owner_team", "not_in_owner_team"
        )
    return member.person


def _scopes(draft: Draft, service: Service) -> tuple[str, ...]:
    wanted = set(draft.scopes)
    living = {scope.name for scope in Scope.objects.living().filter(service=service, retires_at=None)}
    if not wanted:
        raise Invalid.field("scopes", "required")
    if len(wanted) > MOST_SCOPES:
        raise Invalid.field("scopes", "too_many", most=MOST_SCOPES)
    unknown = sorted(str(name)[:80] for name in wanted - living)
    if unknown:
        raise Invalid.field("scopes", "unknown_scope", scopes=unknown)
    return tuple(sorted(wanted))


def _days(value: int, name: str) -> int:
    if isinstance(value, bool) or not 1 <= value <= LONGEST_DAYS:
        raise Invalid.field(name, "out_of_range", least=1, most=LONGEST_DAYS)
    return value


def _limits(limits: dict[str, int]) -> dict[str, int]:
    for name, value in limits.items():
        if name not in LIMITS:
            raise Invalid.field("limits", "unknown_limit", limits=list(LIMITS))
        if isinstance(value, bool) or not 1 <= value <= LIMITS[name]:
            raise Invalid.field("limits", "out_of_range", least=1, most=LIMITS[name])
    return dict(limits)


def _rotation(draft: Draft) -> dict[str, Any] | None:
    """The plan of its rotations in its one spelling; whether the policy lets it be is asked with everything else."""
    if not draft.overlap and draft.every_days is None:
        return None
    if draft.overlap and draft.overlap not in list(Overlap):
        raise Invalid.field("rotation.overlap", "unknown_overlap", overlaps=", ".join(Overlap))
    every_days = None if draft.every_days is None else _days(draft.every_days, "rotation.every_days")
    return RotationPlan(overlap=Overlap(draft.overlap or USUAL_OVERLAP), every_days=every_days).as_json()


def _public_key(draft: Draft) -> str | None:
    """The public key that the approvers see, in its one spelling; without one the client brings it at the claim."""
    if not draft.public_key.strip():
        return None
    if draft.kind != KeyKind.ED25519:
        raise Invalid.field("public_key", "no_public_key_here")
    try:
        return read_public_key(draft.public_key)
    except Malformed as malformed:
        raise Invalid.field("public_key", malformed.code) from None


def _verifies(
    draft: Draft, *, service: Service, environment: Environment, owner_team: Team | None, actor: Actor
) -> dict[str, str] | None:
    """A credential that verifies keys names the one service and environment it may ask about, both its team's own."""
    if service.slug != OWN_SERVICE or VERIFY_SCOPE not in draft.scopes:
        if draft.verifies_service or draft.verifies_environment:
            raise Invalid.field("verifies_service", "only_for_verifying_keys")
        return None
    about = Service.objects.visible_to(actor).living().filter(slug=draft.verifies_service).first()
    if about is None:
        raise Invalid.field("verifies_service", "unknown_service")
    if owner_team is not None and about.owner_team_id != owner_team.pk:
        raise Invalid.field("verifies_service", "not_your_service")
    if draft.verifies_environment != environment.tag:
        raise Invalid.field("verifies_environment", "must_be_own_environment", environment=environment.tag)
    return {"service": about.slug, "environment": environment.tag}
