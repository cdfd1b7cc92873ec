"""Ask a signed-in person to prove their presence for one purpose, inside any form or on a page of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from audit import clock
from audit.actor import Actor
from audit.log import record
from keys.models import Passkey, Person, TotpDevice
from keys.operations import operation
from keys.people import session_table
from keys.people.proofs import Proof, Refusal
from keys.policy.device_rules import DEVICE
from keys.policy.step_up import has_step_up
from portal.accounts.doors import local_path, person_of, signed_in_door, store_of
from portal.accounts.steps import presented, prove
from portal.accounts.words import explain_refusal
from portal.actors import actor_of
from portal.events import SteppedUp

# The classes of action that a step-up opens; one does not serve another.
PURPOSES: Final[dict[str, Promise]] = {
    "approve": _("decide about a request"),
    "claim": _("receive a secret"),
    "revoke": _("revoke a key"),
    "suspend": _("suspend a key"),
    "reinstate": _("reinstate a key"),
    "handover": _("hand a key over"),
    "policy": _("change a policy"),
    "people": _("change people and teams"),
    "catalogue": _("change services and scopes"),
    "factors": _("change your sign-in"),
    "export": _("take data out"),
    "retention": _("change how long the log is kept"),
    "webhooks": _("change where events are sent"),
}
# What is opened for one thing only: its purpose goes on with the name of that thing.
BOUND_PURPOSES: Final[dict[str, Promise]] = {
    DEVICE: _("let this machine act as you"),
}
_BOUND: Final = re.compile(r"([a-z]+)_[0-9a-f]{32}", re.ASCII)


def act_of(purpose: str) -> Promise | None:
    """Say what a step-up for `purpose` opens; None when there is no such purpose."""
    bound = _BOUND.fullmatch(purpose)
    return BOUND_PURPOSES.get(bound[1]) if bound else PURPOSES.get(purpose)


@dataclass(frozen=True, kw_only=True)
class StepUpProblem:
    """Why the proof in a form does not count, with words for the page."""

    code: str
    words: str
    status: int = 422


@dataclass(frozen=True, kw_only=True)
class StepUpFields:
    """What `accounts/step_up_fields.html` draws: nothing to do when `is_fresh`."""

    purpose: str
    act: Promise
    is_fresh: bool
    has_passkey: bool
    has_totp: bool
    options_url: str
    problem: StepUpProblem | None = None


def fields(
    http: HttpRequest, purpose: str, *, problem: StepUpProblem | None = None, options_url: str = ""
) -> StepUpFields:
    """Return the block of a form that needs a step-up; pass it to the template as `step_up`.

    `options_url` replaces our challenge by that of a room that lets a passkey sign something of its own.
    """
    actor = actor_of(http)
    person = person_of(http)
    act = act_of(purpose)
    assert act is not None, purpose
    return StepUpFields(
        purpose=purpose,
        act=act,
        is_fresh=not options_url and has_step_up(actor, purpose, at=clock.now()),
        has_passkey=Passkey.objects.usable().filter(user=person).exists(),
        has_totp=TotpDevice.objects.usable().filter(user=person).exists(),
        options_url=options_url or reverse("step_up_options", args=[purpose]),
        problem=problem,
    )


def confirm(http: HttpRequest, purpose: str) -> StepUpProblem | None:
    """Make sure that the person stepped up for `purpose`: lately, or by the `code` or `assertion` in this very form.

    None means yes; build the actor (`actor_of`) after this. The session key changes with the proof.
    """
    if act_of(purpose) is None:
        raise ValueError(f"no such purpose: {purpose}")
    actor = actor_of(http)
    if has_step_up(actor, purpose, at=clock.now()):
        return None
    person = person_of(http)
    outcome = prove(person, actor=actor, http=http, purpose=purpose)
    if isinstance(outcome, Refusal):
        return _problem(outcome)
    _keep(person, actor=actor, http=http, proof=outcome, purpose=purpose)
    return None


def missing(http: HttpRequest, purpose: str) -> StepUpProblem | None:
    """Say that a form needs a proof and brings none, beside what else is wrong with it; one that is there is not tried."""
    if presented(http) or has_step_up(actor_of(http), purpose, at=clock.now()):
        return None
    return _problem(Refusal(code="missing"))


def _problem(refusal: Refusal) -> StepUpProblem:
    status = 429 if refusal.code == "locked" else 422
    return StepUpProblem(code=refusal.code, words=explain_refusal(refusal), status=status)


@operation
def _keep(person: Person, *, actor: Actor, http: HttpRequest, proof: Proof, purpose: str) -> None:
    at = clock.now()
    store = store_of(http)
    row = store.current()
    steps = session_table.add_step_up(
        row.step_ups if row is not None else [], purpose=purpose, method=proof.method, at=at
    )
    store.rotate(step_ups=steps, challenge="")
    record(
        SteppedUp(target_id=str(person.pk), purpose=purpose, method=proof.method, device=proof.device),
        actor=actor,
        at=at,
    )


@signed_in_door("GET", "POST")
def step_up(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Step up on a page of its own, then go back: for pages and programs that have no form to embed it in."""
    given = http.POST if http.method == "POST" else http.GET
    purpose = given.get("purpose", "")
    back = local_path(given.get("next", ""))
    if act_of(purpose) is None:
        return render(http, "accounts/step_up_choice.html", {"purposes": PURPOSES, "next": back}, status=200)
    problem = confirm(http, purpose) if http.method == "POST" else None
    if http.method == "POST" and problem is None:
        return HttpResponseRedirect(back)
    context = {"step_up": fields(http, purpose, problem=problem), "next": back}
    return render(http, "accounts/step_up.html", context, status=problem.status if problem else 200)
