"""Show what a person left, each key with its way on, and name who receives its secrets instead."""

from __future__ import annotations

from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit import clock
from audit.actor import Actor
from keys.errors import Conflict, Invalid, NotFound
from keys.lifecycle.leaving import name_recipient, what_is_left
from keys.models import ManagedKey, Person
from keys.models.reach import reach_of
from keys.policy.rules import may_name_recipient
from portal.accounts.step_up import StepUpProblem, confirm, fields
from portal.actors import actor_of
from portal.web.doors import form_page, page
from portal.web.finding import key_by_number, members_of, teams_led_by
from portal.web.key_acts import enforce_but_for_step_up
from portal.web.reasons import mark, words_of


class RecipientForm(forms.Form):
    """Who claims the next secrets, and whether the next one shall wait at once."""

    recipient = forms.ModelChoiceField(
        label=gettext_lazy("Who claims its secrets from now on"), queryset=Person.objects.visible_to(None)
    )
    rotate = forms.BooleanField(
        label=gettext_lazy("Have the secret replaced: the person before knows the present one"),
        required=False,
        initial=True,
    )


@page
def left(http: HttpRequest, actor: Actor, person: UUID) -> HttpResponse:
    """List the keys whose secrets a person receives or knows; leads see those of their teams."""
    everything = reach_of(actor).everything
    teams = [] if everything else teams_led_by(actor)
    row = Person.objects.visible_to(actor).filter(pk=person).first()
    if row is None or not (everything or teams):
        raise NotFound
    keys = ManagedKey.objects.visible_to(actor)
    found = what_is_left(keys if everything else keys.filter(owner_team__in=teams), row.pk, at=clock.now())
    context = {"person": row, "lines": found, "whole": everything}
    return render(http, "web/left.html", context)


@form_page
def recipient(http: HttpRequest, actor: Actor, number: int) -> HttpResponse:
    """Name another member of the owner team."""
    key = key_by_number(number, actor=actor)
    enforce_but_for_step_up(may_name_recipient, key, before=name_recipient, actor=actor)
    form = RecipientForm(http.POST if http.method == "POST" else None)
    people = [each.pk for each in members_of([key.owner_team], actor=actor)[key.owner_team]]
    choice: forms.ModelChoiceField[Person] = form.fields["recipient"]  # type: ignore[assignment]  # declared above
    choice.queryset = (
        Person.objects.visible_to(actor).filter(pk__in=people, is_active=True).exclude(pk=key.recipient_id)
    )
    problem: StepUpProblem | None = None
    if http.method == "POST" and form.is_valid():
        problem = confirm(http, "handover")
        if problem is None:
            try:
                name_recipient(key, **form.cleaned_data, actor=actor_of(http))
            except Invalid as invalid:
                mark(form, invalid)
            except Conflict as conflict:
                form.add_error(None, words_of(conflict))
            else:
                messages.success(http, _("Done. They are told what waits for them."))
                return HttpResponseRedirect(reverse("key", args=[number]))
    status = problem.status if problem else 422 if http.method == "POST" else 200
    context = {
        "form": form,
        "key": key,
        "environment": key.environment,
        "step_up": fields(http, "handover", problem=problem),
    }
    return render(http, "web/recipient.html", context, status=status)
