"""Give the tests people who really joined: with a password, an authenticator app and a signed-in browser."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from django.test import Client

from audit import clock
from audit.actor import Actor, ActorKind, Auth, StepUp
from audit.models import AuditEvent
from keys.crypto import otp
from keys.crypto.secrets import Secret
from keys.errors import Invalid
from keys.models import Invitation, Person, TotpDevice
from keys.people.factors import confirm_totp, enrol_totp, seed_of
from keys.people.invitations import accept_invitation, invite_person, make_invitation_link

PASSWORD = "correct horse battery staple"
OPERATOR = Actor.operator("tests")
BROWSER = {"user-agent": "Firefox 140 on Linux"}


@dataclass
class Joined:
    """A person who joined by an invitation and has an authenticator app."""

    person: Person
    device: TotpDevice
    seed: Secret
    client: Client = field(default_factory=lambda: Client(headers=BROWSER))

    def code(self) -> str:
        """Return a code that works now, as if the last one had been used long ago."""
        TotpDevice.objects.filter(pk=self.device.pk).update(last_step=None)
        return otp.code_at(self.seed, otp.step_at(clock.now()))

    def actor(self, *purposes: str, method: str = "totp") -> Actor:
        """Return the actor of a session of this person, stepped up for `purposes`."""
        at = clock.now()
        steps = tuple(StepUp(purpose=each, method=method, at=at) for each in purposes)
        device = f"totp:{self.device.pk}"
        return Actor(
            kind=ActorKind.PERSON,
            id=str(self.person.pk),
            name=self.person.name,
            session="s",
            auth=Auth(mfa=True, methods=("password", method), device=device, at=at, assurance="otp", step_ups=steps),
        )

    def signs_in(self, client: Client | None = None) -> Client:
        """Sign in through the doors."""
        client = client or self.client
        answer = client.post("/sign-in/", {"email": self.person.email, "password": PASSWORD})
        assert answer.status_code == 302, answer.content.decode()
        answer = client.post("/sign-in/second-factor/", {"code": self.code()})
        assert answer.status_code == 302, answer.content.decode()
        return client


def self_of(person: Person) -> Actor:
    """Return the actor of somebody on the way in."""
    return Actor(kind=ActorKind.PERSON, id=str(person.pk))


def token_of(link: Secret) -> str:
    """Take the token out of a link."""
    return link.reveal().rstrip("/").rsplit("/", 1)[1]


def invited(name: str, roles: Collection[str] = ()) -> tuple[Person, Invitation, str]:
    """Invite somebody and make their link."""
    made = invite_person(f"{name}@example.com", actor=OPERATOR, name=name.title(), roles=roles)
    return made.person, made.invitation, token_of(make_invitation_link(made.invitation, actor=OPERATOR))


def joined(name: str, roles: Collection[str] = ()) -> Joined:
    """Invite somebody and let them take their place."""
    person, invitation, token = invited(name, roles)
    accept_invitation(invitation, token, actor=self_of(person), password=PASSWORD)
    device = enrol_totp(person, actor=self_of(person), name="phone")
    seed = seed_of(device)
    # The code before the present one, so that this may be used; it is too old when a step begins just then.
    for _ in range(2):
        code = otp.code_at(seed, otp.step_at(clock.now()) - 1)
        with suppress(Invalid):
            device = confirm_totp(device, actor=self_of(person), code=code)
            break
    assert device.confirmed
    return Joined(person=person, device=device, seed=seed)


def actions(**filters: Any) -> list[str]:
    """Return what the log says happened, in order."""
    return list(AuditEvent.objects.filter(**filters).order_by("id").values_list("action", flat=True))


def last_event(action: str) -> dict[str, Any]:
    """Return the payload of the newest event of `action`."""
    row = AuditEvent.objects.filter(action=action).order_by("-id").first()
    assert row is not None, f"no {action} in the log"
    return json.loads(bytes(row.payload))


def plain(answer: Any) -> str:
    """Return a page without what differs between any two answers: tokens, nonces and the address that was typed."""
    text = re.sub(r'(name="csrfmiddlewaretoken" value="|X-CSRFToken": ")[^"]+', "", answer.content.decode())
    return re.sub(r'value="[^"]*@[^"]*"', "", re.sub(r'nonce="[^"]+"', "", text))
