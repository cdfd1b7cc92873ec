"""Show how long the log keeps what and what that lets go; let administrators set it, and a second one decide."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit import clock
from audit.actor import Actor
from audit.models import AuditRetention
from audit.retention import Periods
from keys.errors import Conflict, Invalid
from keys.people.standing import standing_of
from keys.policy.retention_rules import may_decide_periods, may_set_periods
from keys.policy.step_up import but_for_step_up
from keys.reports.labels import names_of
from keys.retention.periods import KEEP, PRIVATE, chosen, decide_periods, periods_of, set_periods, view_retention
from portal.accounts.step_up import StepUpProblem, confirm, fields
from portal.actors import actor_of
from portal.web.doors import form_page
from portal.web.reasons import mark, words_of

WORDS: dict[str, Promise] = {
    "forever": gettext_lazy("for ever"),
    "30-days": gettext_lazy("30 days"),
    "90-days": gettext_lazy("90 days"),
    "180-days": gettext_lazy("180 days"),
    "1-year": gettext_lazy("1 year"),
    "3-years": gettext_lazy("3 years"),
    "6-years": gettext_lazy("6 years (HIPAA)"),
    "7-years": gettext_lazy("7 years (SOX)"),
    "10-years": gettext_lazy("10 years"),
}


class PeriodsForm(forms.Form):
    """Two presets and a reason."""

    keep = forms.ChoiceField(label=gettext_lazy("Keep events"), choices=[(name, WORDS[name]) for name in KEEP])
    private = forms.ChoiceField(
        label=gettext_lazy("Keep names, addresses and free text in events"),
        choices=[(name, WORDS[name]) for name in PRIVATE],
        help_text=gettext_lazy("The event itself stays; who it was stays as an identifier."),
    )
    reason = forms.CharField(label=gettext_lazy("Why"), max_length=500, widget=forms.Textarea(attrs={"rows": 3}))
    base = forms.CharField(widget=forms.HiddenInput, max_length=40)


@form_page
def retention(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Show the periods; set them, or decide about those that wait."""
    view = view_retention(actor=actor)
    answer = http.POST.get("answer", "")
    form = PeriodsForm(
        http.POST if http.method == "POST" and answer == "set" else None,
        initial={
            "keep": _preset(KEEP, view.periods.keep_days),
            "private": _preset(PRIVATE, view.periods.private_days),
            "base": _told(view.periods),
        },
    )
    refusal, problem, status = "", None, 200
    if http.method == "POST":
        refusal, problem, status = _answered(http, form, answer, view.periods, view.waiting)
        if status == 303:
            return HttpResponseRedirect(reverse("retention"))
    at = clock.now()
    who = standing_of(actor, at=at)
    waiting = view.waiting
    rows = [*view.past, *([waiting] if waiting else [])]
    names = names_of([each for row in rows for each in (row.proposed_by, row.decided_by) if each])
    context = {
        "periods": words_for(view.periods),
        "outlook": view.outlook,
        "waiting": _line(waiting, names) if waiting else None,
        "waiting_outlook": view.waiting_outlook,
        "past": [_line(row, names) for row in view.past],
        "form": form,
        "refusal": refusal,
        "may_set": but_for_step_up(may_set_periods(actor, who, at=at)),
        "may_accept": waiting is not None
        and but_for_step_up(may_decide_periods(actor, who, proposed_by=waiting.proposed_by, accept=True, at=at)),
        "step_up": fields(http, "retention", problem=problem),
    }
    return render(http, "web/audit/retention.html", context, status=status)


def _answered(
    http: HttpRequest, form: forms.Form, answer: str, periods: Periods, waiting: AuditRetention | None
) -> tuple[str, StepUpProblem | None, int]:
    """Call the operation; returns words for a conflict, a problem with the step-up, and the status (303: done)."""
    if answer not in ("set", "accept", "refuse") or (form.is_bound and not form.is_valid()):
        return "", None, 422
    if answer != "set" and (waiting is None or http.POST.get("proposal") != str(waiting.pk)):
        return words_of(Conflict("page_too_old")), None, 409
    problem = confirm(http, "retention")
    if problem is not None:
        return "", problem, problem.status
    actor = actor_of(http)
    try:
        if answer == "set":
            if form.cleaned_data["base"] != _told(periods):
                raise Conflict("retention_changed")
            wanted = chosen(form.cleaned_data["keep"], form.cleaned_data["private"])
            row = set_periods(wanted, actor=actor, reason=form.cleaned_data["reason"], base=periods)
        else:
            assert waiting is not None
            row = decide_periods(waiting, accept=answer == "accept", actor=actor)
    except Invalid as invalid:
        mark(form, invalid)
        return "", None, 422
    except Conflict as conflict:
        return words_of(conflict), None, 409
    said = {
        "accepted": _("These periods are in force."),
        "refused": _("Refused: the periods stay as they are."),
        "": _("Proposed. Another administrator has to accept shorter periods."),
    }
    messages.success(http, said[row.outcome])
    return "", None, 303


def words_for(periods: Periods) -> dict[str, object]:
    """The periods in words."""
    return {"keep": _words(KEEP, periods.keep_days), "private": _words(PRIVATE, periods.private_days)}


def _words(presets: object, days: int | None) -> object:
    return WORDS.get(_preset(presets, days)) or _("%(days)s days") % {"days": days}


def _preset(presets: object, days: int | None) -> str:
    assert hasattr(presets, "items")
    return next((str(name) for name, value in presets.items() if value == days), "")


def _told(periods: Periods) -> str:
    return f"{periods.keep_days}/{periods.private_days}"


def _line(row: AuditRetention, names: dict[str, str]) -> dict[str, object]:
    return {
        "row": row,
        **words_for(periods_of(row)),
        "proposed_by": names.get(row.proposed_by, row.proposed_by),
        "decided_by": names.get(row.decided_by, row.decided_by),
    }
