"""Show which ranges of the log are held, and let people place and lift holds."""

from __future__ import annotations

from collections.abc import Iterable

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit import clock
from audit.actor import Actor
from audit.models import WITHOUT_END, AuditHold
from keys.people.standing import standing_of
from keys.policy.retention_rules import may_lift_hold, may_place_hold
from keys.policy.step_up import but_for_step_up
from keys.reports.labels import names_of
from keys.retention.holds import HeldSpan, hold_of, lift_hold, list_holds, place_hold
from portal.web.attempts import attempt
from portal.web.confirmation import TypedConfirmation
from portal.web.doors import form_page, page
from portal.web.log_form import MOMENT_FORMATS, Moment
from portal.web.reasons import why_not


class HoldForm(forms.Form):
    """What to hold, and why."""

    reason = forms.CharField(
        label=gettext_lazy("Why"),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=gettext_lazy("The case, the letter, who asked. It is kept in the private part of the event."),
    )
    since = Moment(label=gettext_lazy("From (UTC)"), required=False, input_formats=MOMENT_FORMATS)
    before = Moment(
        label=gettext_lazy("Before (UTC)"),
        required=False,
        input_formats=MOMENT_FORMATS,
        help_text=gettext_lazy("Left empty, the hold also keeps what is still to come."),
    )
    from_leaf = forms.IntegerField(
        label=gettext_lazy("Or from leaf"), required=False, min_value=0, max_value=WITHOUT_END
    )
    upto_leaf = forms.IntegerField(
        label=gettext_lazy("and before leaf"), required=False, min_value=1, max_value=WITHOUT_END
    )

    def span(self) -> HeldSpan:
        """What was asked for; call it when the form is valid."""
        given = self.cleaned_data
        return HeldSpan(
            since=given["since"], before=given["before"], from_leaf=given["from_leaf"], upto_leaf=given["upto_leaf"]
        )


@page
def holds(http: HttpRequest, actor: Actor) -> HttpResponse:
    """List holds, those in force first."""
    found = list_holds(actor=actor)
    may_place = may_place_hold(actor, standing_of(actor, at=clock.now()), at=clock.now())
    context = {"rows": _rows(found), "may_place": but_for_step_up(may_place)}
    return render(http, "web/audit/holds.html", context)


@form_page
def place(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Place a hold."""
    list_holds(actor=actor)  # for whoever may not read the log, there is no such page
    form = HoldForm(http.POST if http.method == "POST" else None)

    def placed(who: Actor) -> HttpResponse:
        hold = place_hold(form.span(), actor=who, reason=form.cleaned_data["reason"])
        messages.success(http, _("%(hold)s is in force.") % {"hold": hold})
        return HttpResponseRedirect(reverse("holds"))

    tried = attempt(http, form, purpose="retention", act_on=placed, tells_conflict=True)
    if isinstance(tried, HttpResponse):
        return tried
    context = {"form": form, "refusal": tried.refusal, "step_up": tried.step_up}
    return render(http, "web/audit/hold_new.html", context, status=tried.status)


@form_page
def lift(http: HttpRequest, actor: Actor, number: int) -> HttpResponse:
    """Lift a hold that somebody else placed."""
    hold = hold_of(number, actor=actor)
    form = TypedConfirmation(http.POST if http.method == "POST" else None, phrase=str(hold))

    def lifted(who: Actor) -> HttpResponse:
        lift_hold(hold, actor=who)
        messages.success(http, _("%(hold)s was lifted.") % {"hold": hold})
        return HttpResponseRedirect(reverse("holds"))

    tried = attempt(http, form, purpose="retention", act_on=lifted, tells_conflict=True)
    if isinstance(tried, HttpResponse):
        return tried
    decision = may_lift_hold(actor, standing_of(actor, at=clock.now()), placed_by=hold.placed_by, at=clock.now())
    context = {
        "row": _rows([hold])[0],
        "form": form,
        "refusal": tried.refusal,
        "may_lift": but_for_step_up(decision) and hold.lifted_at is None,
        "why_not": why_not(decision),
        "step_up": tried.step_up,
    }
    return render(http, "web/audit/hold_lift.html", context, status=tried.status)


def _rows(found: Iterable[AuditHold]) -> list[dict[str, object]]:
    rows = list(found)
    names = names_of([each for hold in rows for each in (hold.placed_by, hold.lifted_by) if each])
    return [
        {
            "hold": hold,
            "upto": None if hold.upto_leaf >= WITHOUT_END else hold.upto_leaf - 1,
            "placed_by": names.get(hold.placed_by, hold.placed_by),
            "lifted_by": names.get(hold.lifted_by, hold.lifted_by),
        }
        for hold in rows
    ]
