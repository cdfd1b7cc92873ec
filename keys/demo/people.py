"""Let the people of the demo take their places as real people do: invitation, password, authenticator."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from audit import clock
from audit.actor import Actor, ActorKind, Auth, RequestFacts, StepUp
from keys.crypto import otp
from keys.crypto.secrets import Secret
from keys.demo.company import PASSWORD, PEOPLE, TEAMS, PersonOf
from keys.errors import Invalid
from keys.models import Person, Team, TotpDevice
from keys.people.factors import confirm_totp, enrol_totp, seed_of
from keys.people.invitations import accept_invitation, invite_person, make_invitation_link
from keys.people.seeds import open_seed
from keys.people.teams import add_member, create_team

SHELL = Actor.operator("load_demo")
_PURPOSES = (
    "approve",
    "claim",
    "revoke",
    "suspend",
    "reinstate",
    "handover",
    "policy",
    "people",
    "catalogue",
    "factors",
    "export",
)


@dataclass(frozen=True)
class SignIn:
    """How to sign in as one person of the demo."""

    name: str
    email: str
    part: str
    seed: Secret


def speaking(person: Person) -> Actor:
    """The person as if they had just signed in with both factors and stepped up."""
    at = clock.now()
    device = TotpDevice.objects.usable().filter(user=person).first()
    return Actor(
        kind=ActorKind.PERSON,
        id=str(person.pk),
        name=person.name,
        session=f"demo-{person.pk}",
        auth=Auth(
            mfa=device is not None,
            methods=("password", "totp") if device else ("password",),
            device=f"totp:{device.pk}" if device else "",
            at=at,
            assurance="otp" if device else "",
            step_ups=tuple(StepUp(purpose=each, method="totp", at=at) for each in _PURPOSES) if device else (),
        ),
        http=RequestFacts(task="load_demo"),
    )


def settle_people() -> dict[str, Person]:
    """Form the teams and let everybody in; returns people by login."""
    teams = {slug: create_team(slug, actor=SHELL, name=name, description=words) for slug, name, words in TEAMS}
    teams["keystead"] = Team.objects.get(slug="keystead")
    people = {each.login: _settle(each) for each in PEOPLE}
    for each in PEOPLE:
        for slug, roles in each.teams:
            add_member(teams[slug], actor=SHELL, person=people[each.login], roles=roles)
    return people


def _settle(each: PersonOf) -> Person:
    invited = invite_person(each.email, actor=SHELL, name=each.name, roles=each.roles)
    link = make_invitation_link(invited.invitation, actor=SHELL).reveal()
    token = link.rstrip("/").rpartition("/")[2]
    person = accept_invitation(invited.invitation, token, actor=speaking(invited.person), password=PASSWORD)
    device = enrol_totp(person, actor=speaking(person), name="Demo authenticator")
    _confirm(device, person)
    return person


def _confirm(device: TotpDevice, person: Person) -> None:
    """Confirm by the code of the step before this one, so that the code on a phone right now still serves to sign in."""
    at = clock.now()
    try:
        confirm_totp(device, actor=speaking(person), code=otp.code_at(seed_of(device), otp.step_at(at) - 1))
    except Invalid:
        if otp.step_at(clock.now()) == otp.step_at(at):
            raise
        _confirm(device, person)  # a step began just then, and that code was too old


def sign_ins() -> list[SignIn]:
    """How to sign in as everybody. Opens sealed seeds: only a demo may call this."""
    found = []
    for each in PEOPLE:
        device = TotpDevice.objects.usable().filter(user__email=each.email).select_related("user").first()
        if device is None:
            continue
        seed = open_seed(device.sealed_seed, device_id=device.pk, person_id=device.user_id)
        part = ", ".join([*each.roles, *(f"{'/'.join(roles)} in {team}" for team, roles in each.teams)])
        found.append(SignIn(device.user.name, each.email, part, otp.base32_text(seed)))
    return found


def code_now(email: str, *, at: datetime) -> str | None:
    """The code that signs this person in now; None for people who are not of the demo."""
    if email not in {each.email for each in PEOPLE}:
        return None
    device = TotpDevice.objects.usable().filter(user__email=email).first()
    if device is None:
        return None
    seed = open_seed(device.sealed_seed, device_id=device.pk, person_id=device.user_id)
    return otp.code_at(seed, otp.step_at(at))
