"""Offer a key to another team, take the offer back, answer it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit import clock
from audit.actor import Actor
from keys.errors import Invalid, NotFound
from keys.lifecycle.handover import accept_transfer, decline_transfer, offer_transfer, withdraw_transfer
from keys.models import KeyTransfer, Person, Team
from keys.people.standing import standing_of
from keys.policy.rules import may_answer_transfer, may_offer_transfer
from keys.policy.step_up import but_for_step_up
from portal.accounts.step_up import StepUpProblem, confirm, fields
from portal.actors import actor_of
from portal.web.attempts import attempt
from portal.web.doors import form_page
from portal.web.finding import key_by_number, members_of, offered_key, open_transfer
from portal.web.key_acts import enforce_but_for_step_up
from portal.web.reasons import mark, why_not


class OfferForm(forms.Form):
    """To which team, and a word to it."""

    to_team = forms.ModelChoiceField(
        label=gettext_lazy("Receiving team"), queryset=Team.objects.visible_to(None), to_field_name="slug"
    )
    comment = forms.CharField(
        label=gettext_lazy("A word to them"), required=False, max_length=2000, widget=forms.Textarea(attrs={"rows": 3})
    )


class AcceptForm(forms.Form):
    """Who of the receiving team claims the next secrets."""

    recipient = forms.ModelChoiceField(
        label=gettext_lazy("Who claims its secrets from now on"), queryset=Person.objects.visible_to(None)
    )


@form_page
def hand_over(http: HttpRequest, actor: Actor, number: int) -> HttpResponse:
    """Offer a key to another team."""
    key = key_by_number(number, actor=actor)
    enforce_but_for_step_up(may_offer_transfer, key, before=offer_transfer, actor=actor)
    form = _choosing(
        OfferForm(http.POST if http.method == "POST" else None),
        "to_team",
        Team.objects.visible_to(actor).living().exclude(pk=key.owner_team_id),
    )

    def offered(who: Actor) -> HttpResponse:
        typed = form.cleaned_data
        offer_transfer(key, to_team=typed["to_team"], comment=typed["comment"], actor=who)
        messages.success(http, _("Offered. A lead of the receiving team has to accept it within 7 days."))
        return HttpResponseRedirect(reverse("key", args=[number]))

    tried = attempt(http, form, purpose="handover", act_on=offered)
    if isinstance(tried, HttpResponse):
        return tried
    context = {"form": form, "key": key, "environment": key.environment, "step_up": tried.step_up}
    return render(http, "web/hand_over.html", context, status=tried.status)


@form_page
def transfer(http: HttpRequest, actor: Actor, number: int) -> HttpResponse:
    """Show an offer to both sides; accept, decline or take it back."""
    key = offered_key(number, actor=actor)
    offered = open_transfer(key, actor=actor)
    if offered is None:
        raise NotFound
    people = members_of([offered.to_team], actor=actor)[offered.to_team]
    form = _choosing(
        AcceptForm(http.POST if http.method == "POST" and http.POST.get("answer") == "accept" else None),
        "recipient",
        Person.objects.visible_to(actor).filter(pk__in=[person.pk for person in people]),
    )
    problem: StepUpProblem | None = None
    if http.method == "POST":
        answer = http.POST.get("answer", "")
        if answer in ("decline", "withdraw") or (answer == "accept" and form.is_valid()):
            problem = confirm(http, "handover")
            if problem is None:
                try:
                    said = _carry_out(answer, offered, form, actor=actor_of(http))
                except Invalid as invalid:
                    mark(form, invalid)
                else:
                    messages.success(http, said)
                    return HttpResponseRedirect(_afterwards(answer, number))
    status = problem.status if problem else 422 if http.method == "POST" else 200
    at = clock.now()
    who = standing_of(actor, at=at)
    answering = may_answer_transfer(
        actor, who, to_team_id=offered.to_team_id, offered_by_id=offered.offered_by_id, at=at
    )
    may_answer = but_for_step_up(answering)
    context = {
        "form": form,
        "key": key,
        "environment": key.environment,
        "transfer": offered,
        "answer": http.POST.get("answer", ""),
        "has_lapsed": offered.lapses_at <= at,
        "may_answer": may_answer,
        "why_not": "" if may_answer or not who.is_in(offered.to_team_id) else why_not(answering),
        "is_offering_side": who.is_in(offered.from_team_id),
        "step_up": fields(http, "handover", problem=problem),
    }
    return render(http, "web/transfer.html", context, status=status)


def _carry_out(answer: str, offered: KeyTransfer, form: forms.Form, *, actor: Actor) -> str:
    if answer == "accept":
        accept_transfer(offered, recipient=form.cleaned_data["recipient"], actor=actor)
        return _("Accepted. The key belongs to your team now.")
    if answer == "decline":
        decline_transfer(offered, actor=actor)
        return _("Declined. The key stays where it is.")
    withdraw_transfer(offered, actor=actor)
    return _("Taken back. The key stays with your team.")


def _afterwards(answer: str, number: int) -> str:
    """Go to the key, unless the answer was no and the key stays with strangers."""
    return reverse("keys") if answer == "decline" else reverse("key", args=[number])


def _choosing(form: Any, name: str, rows: Any) -> Any:  # Any: any form with a choice of rows
    form.fields[name].queryset = rows
    return form
