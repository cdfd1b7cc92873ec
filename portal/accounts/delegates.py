"""Let people name a colleague for an absence, and see for whom they stand in."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from audit import clock
from audit.actor import Actor
from keys.errors import Invalid, KeysError
from keys.models import Delegation, Person
from keys.people.delegates import end_delegation, name_delegate
from portal.accounts.doors import person_of, say, signed_in_door
from portal.accounts.forms import DelegateForm
from portal.accounts.step_up import StepUpProblem, confirm, fields
from portal.accounts.words import explain, put_errors
from portal.actors import actor_of


def _form(http: HttpRequest, actor: Actor) -> DelegateForm:
    form = DelegateForm(http.POST if http.method == "POST" else None)
    colleagues = Person.objects.visible_to(actor).filter(is_active=True).exclude(pk=actor.id)
    form.fields["delegate"].queryset = colleagues  # type: ignore[attr-defined]  # a ModelChoiceField
    return form


@signed_in_door("GET", "POST")
def delegates(http: HttpRequest, actor: Actor) -> HttpResponse:
    """List delegations, and name a delegate with a step-up."""
    form = _form(http, actor)
    problem: StepUpProblem | None = None
    if http.method == "POST" and form.is_valid():
        problem = confirm(http, "people")
        if problem is None:
            try:
                name_delegate(person_of(http), actor=actor_of(http), **form.cleaned_data)
            except Invalid as refused:
                put_errors(form, refused)
            except KeysError as refused:
                form.add_error(None, explain(refused.code, refused.params))
            else:
                say(http, _("Your delegate is named, and both of you are told."))
                return HttpResponseRedirect(reverse("delegates"))
    actor = actor_of(http)
    at = clock.now()
    mine = Delegation.objects.visible_to(actor).filter(ended_at=None, ends_at__gt=at)
    context = {
        "form": form,
        "given": mine.filter(person=person_of(http)).select_related("delegate"),
        "held": mine.filter(delegate=person_of(http)).select_related("person"),
        "now": at,
        "step_up": fields(http, "people", problem=problem),
    }
    failed = problem.status if problem else 422 if form.errors else 200
    return render(http, "accounts/delegates.html", context, status=failed)


@signed_in_door("POST")
def end(http: HttpRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """End a delegation, from either side."""
    delegation = Delegation.objects.visible_to(actor).filter(pk=pk).first()
    if delegation is None:
        raise Http404
    end_delegation(delegation, actor=actor)
    say(http, _("The delegation is ended."))
    return HttpResponseRedirect(reverse("delegates"))
