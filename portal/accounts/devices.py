"""Let a person type the code that a machine shows, see which machine it is, and allow or refuse that it acts as them."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from audit import clock
from audit.actor import Actor
from keys.errors import KeysError
from keys.models import DeviceSignIn
from keys.people.device_rows import canonical_user_code, shown_user_code
from keys.people.device_sign_ins import allow_device, deny_device, enter_code, token_period, waits_for_its_token
from keys.people.proofs import Refusal
from keys.policy.device_rules import presence_for
from portal import client_address
from portal.accounts.doors import person_of, signed_in_door
from portal.accounts.step_up import StepUpProblem, confirm, fields
from portal.accounts.words import explain
from portal.actors import actor_of


@signed_in_door("GET", "POST")
def enter(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Ask for the code. What stands in the address only fills the field: looking it up is for the button."""
    if not token_period():
        raise Http404
    if http.method != "POST":
        code = shown_user_code(canonical_user_code(http.GET.get("user_code", "")))
        return render(http, "accounts/device.html", {"code": code})
    typed = http.POST.get("user_code", "")[:40]
    outcome = enter_code(person_of(http), typed, actor=actor)
    if not isinstance(outcome, Refusal):
        return HttpResponseRedirect(reverse("device_answer", args=[outcome.pk]))
    words = {
        "device_code_form": explain("device_code_form", {}),
        "wrong": _(
            "No machine that waits shows this code. A code lasts ten minutes: look at it again, or begin again."
        ),
        "locked": _("Too many codes that no machine shows. This page is closed to you for half an hour."),
    }[outcome.code]
    status = 429 if outcome.code == "locked" else 422
    return render(http, "accounts/device.html", {"code": typed, "problem": words}, status=status)


@signed_in_door("GET", "POST")
def answer(http: HttpRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Show which machine asks, take the answer, and say what happens next."""
    row = DeviceSignIn.objects.visible_to(actor).filter(pk=pk).first()
    if row is None:
        raise Http404
    problem: StepUpProblem | None = None
    refused = ""
    status = 200
    if http.method == "POST":
        is_allowing = http.POST.get("answer") == "allow"
        problem = confirm(http, presence_for(row.pk)) if is_allowing else None
        if problem is None:
            try:
                answer_with = allow_device if is_allowing else deny_device
                answer_with(row, actor=actor_of(http))
            except KeysError as error:
                refused, status = explain(error.code, error.params), error.status
            else:
                return HttpResponseRedirect(reverse("device_answer", args=[pk]))
        else:
            status = problem.status
    return render(http, "accounts/device_answer.html", _shown(http, row, problem, refused), status=status)


def _shown(http: HttpRequest, row: DeviceSignIn, problem: StepUpProblem | None, refused: str) -> dict[str, object]:
    row.refresh_from_db()
    at = clock.now()
    is_open = row.decided_at is None and row.expires_at > at
    return {
        "row": row,
        "is_open": is_open,
        "may_be_turned_away": waits_for_its_token(row, at=at),
        "is_over": row.decided_at is None and not is_open,
        "is_same_address": row.ip == client_address.of_request(http),
        "hours": int(token_period().total_seconds() // 3600),
        "refused": refused,
        "step_up": fields(http, presence_for(row.pk), problem=problem) if is_open else None,
    }
