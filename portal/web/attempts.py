"""Take the answer to a form that needs a step-up: prove presence and act, or say on the form what is amiss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render

from audit.actor import Actor
from keys.errors import Conflict, Invalid
from keys.models import ManagedKey
from portal.accounts.step_up import StepUpFields, StepUpProblem, confirm, fields, missing
from portal.actors import actor_of
from portal.web.confirmation import Confirmation
from portal.web.reasons import mark, words_of


@dataclass(frozen=True, kw_only=True)
class Asking:
    """What a form that still asks is drawn with."""

    step_up: StepUpFields
    status: int
    refusal: str = ""


def attempt(
    http: HttpRequest,
    form: forms.Form,
    *,
    purpose: str,
    act_on: Callable[[Actor], HttpResponse],
    tells_conflict: bool = False,
) -> HttpResponse | Asking:
    """Act as whoever stepped up, and answer what `act_on` answers; until then the form asks, with words for what is amiss.

    A conflict has a page of its own, unless this page has a place for it.
    """
    problem: StepUpProblem | None = None
    if form.is_bound and form.is_valid():
        problem = confirm(http, purpose)
        if problem is None:
            try:
                return act_on(actor_of(http))
            except Invalid as invalid:
                mark(form, invalid)
            except Conflict as conflict:
                if not tells_conflict:
                    raise
                return Asking(step_up=fields(http, purpose), status=409, refusal=words_of(conflict))
    elif form.is_bound:
        problem = missing(http, purpose)
    status = problem.status if problem else 422 if form.is_bound else 200
    return Asking(step_up=fields(http, purpose, problem=problem), status=status)


def confirmed(
    http: HttpRequest,
    key: ManagedKey,
    form: forms.Form,
    *,
    purpose: str,
    asked: Confirmation,
    act_on: Callable[[Actor], object],
    said: str,
) -> HttpResponse:
    """Ask before an act on a key; when it is done, say so where the person came from."""

    def done(who: Actor) -> HttpResponse:
        act_on(who)
        messages.success(http, said)
        return HttpResponseRedirect(asked.cancel_url)

    tried = attempt(http, form, purpose=purpose, act_on=done)
    if isinstance(tried, HttpResponse):
        return tried
    context = {
        "confirmation": asked,
        "form": form,
        "step_up": tried.step_up,
        "key": key,
        "environment": key.environment,
    }
    return render(http, "web/stop.html", context, status=tried.status)
