"""Stop many keys, or have their secrets replaced, on one page; show the receipt."""

from __future__ import annotations

import json
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from audit import clock
from audit.actor import Actor
from audit.models import AuditEvent
from keys.errors import Conflict, Invalid
from keys.lifecycle.emergency import Measure, execute_emergency
from keys.lifecycle.emergency_lists import EmergencyFilter, EmergencyList, list_keys
from keys.lifecycle.emergency_receipts import Receipt, latest_acts, read_receipt
from keys.people.standing import standing_of
from keys.policy.rules import may_act_on_many
from keys.policy.step_up import but_for_step_up
from keys.reports.labels import actor_name
from keys.states import RevocationReason
from keys.verification.watching.receipts import stop_listed
from portal.accounts.step_up import StepUpProblem, confirm, fields, missing
from portal.actors import actor_of
from portal.web.components import Stat, Term
from portal.web.doors import form_page, page
from portal.web.emergency_forms import EmergencyForm, FilterForm
from portal.web.reasons import mark, words_of
from portal.web.refusals import enforce_before
from portal.web.wording import PASSED_OVER

SHOWN = 200


@form_page
def emergency(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Choose keys, look at the list, confirm it."""
    at = clock.now()
    decision = may_act_on_many(actor, standing_of(actor, at=at), at=at)
    if not but_for_step_up(decision):
        enforce_before(execute_emergency, None, decision, actor=actor)
    if http.method == "POST":
        return _confirmed(http, actor)
    search = FilterForm(http.GET if http.GET else None, actor=actor)
    found, status = None, 200
    if search.is_bound:
        found = _found(search, actor)
        status = 422 if found is None else 200
    form = _asking(found) if found is not None and found.keys else None
    return _drawn(http, actor, search, found, form, status=status)


@page
def receipt(http: HttpRequest, actor: Actor, act: UUID) -> HttpResponse:
    """Show what became of each key."""
    found = read_receipt(act, actor=actor)
    by_outcome: dict[str, list[object]] = {}
    for line in found.lines:
        by_outcome.setdefault(line.outcome, []).append(line.key)
    context = {
        "receipt": found,
        "terms": _terms(found),
        "groups": [(PASSED_OVER.get(outcome, outcome), keys) for outcome, keys in sorted(by_outcome.items())],
        "appeared": any(line.outcome == "appeared-meanwhile" for line in found.lines),
        "again": reverse("emergency") + "?" + _query(found.facts["searched"]),
    }
    return render(http, "web/emergency_receipt.html", context)


@page
def receipt_file(http: HttpRequest, actor: Actor, act: UUID) -> HttpResponse:
    """Hand the receipt out as a file."""
    found = read_receipt(act, actor=actor)
    answer = HttpResponse(json.dumps(found.as_json(), indent=1), content_type="application/json")
    answer["Content-Disposition"] = f'attachment; filename="emergency-{act}.json"'
    return answer


def _confirmed(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Act on the list that was shown, whatever fits by now; show the same list again when something is amiss."""
    query = QueryDict(http.POST.get("searched", "")[:1000])
    search = FilterForm(query, actor=actor)
    form = EmergencyForm(http.POST, phrase=_phrase(_count_in(http.POST.get("listed", ""))))
    if not (form.is_valid() or "listed" in form.cleaned_data) or not search.is_valid():
        return HttpResponseRedirect(reverse("emergency"))
    listed = form.cleaned_data["listed"]
    wanted = search.wanted()
    problem: StepUpProblem | None = None
    if form.is_valid():
        problem = confirm(http, "revoke")
        if problem is None:
            try:
                act = execute_emergency(
                    wanted,
                    numbers=listed,
                    digest=form.cleaned_data["digest"],
                    measure=Measure(form.cleaned_data["measure"]),
                    reason=RevocationReason(form.cleaned_data["reason"]),
                    actor=actor_of(http),
                )
            except Invalid as invalid:
                mark(form, invalid)
            except Conflict as conflict:
                form.add_error(None, words_of(conflict))
            else:
                stop_listed(listed)
                messages.success(http, _("Done. This is the receipt."))
                return HttpResponseRedirect(reverse("emergency_receipt", args=[act]))
    else:
        problem = missing(http, "revoke")
    shown = list_keys(EmergencyFilter(numbers=listed), actor=actor) if listed else None
    status = problem.status if problem else 422
    return _drawn(http, actor, search, shown, form, problem=problem, status=status)


def _drawn(
    http: HttpRequest,
    actor: Actor,
    search: FilterForm,
    found: EmergencyList | None,
    form: EmergencyForm | None,
    *,
    problem: StepUpProblem | None = None,
    status: int = 200,
) -> HttpResponse:
    context = {
        "search": search,
        "found": found,
        "form": form,
        "searched": http.POST.get("searched", "")[:1000] if http.method == "POST" else http.GET.urlencode(),
        "stats": _stats(found) if found else [],
        "counts": _counts(found) if found else [],
        "shown": found.keys[:SHOWN] if found else [],
        "left_out": max(0, len(found.keys) - SHOWN) if found else 0,
        "over": found.matching - len(found.keys) if found else 0,
        "step_up": fields(http, "revoke", problem=problem),
        "acts": [_told(each) for each in latest_acts(actor=actor)],
    }
    return render(http, "web/emergency.html", context, status=status)


def _found(search: FilterForm, actor: Actor) -> EmergencyList | None:
    if not search.is_valid():
        return None
    try:
        return list_keys(search.wanted(), actor=actor)
    except Invalid as invalid:
        mark(search, invalid)
        return None


def _asking(found: EmergencyList) -> EmergencyForm:
    form = EmergencyForm(phrase=_phrase(len(found.keys)))
    form.initial = {**form.initial, "listed": ",".join(map(str, found.numbers)), "digest": found.digest}
    return form


def _phrase(count: int) -> str:
    """What is typed: it says how many, so that nobody stops a thousand keys by habit."""
    return _("%(count)s keys") % {"count": count} if count != 1 else _("1 key")


def _count_in(listed: str) -> int:
    return len(set(filter(None, listed.split(","))))


def _stats(found: EmergencyList) -> list[Stat]:
    return [
        Stat(label=_("Keys on the list"), value=len(found.keys)),
        Stat(label=_("In production"), value=found.production, tone="danger" if found.production else "neutral"),
        Stat(
            label=_("Let services verify"),
            value=found.verifying,
            tone="danger" if found.verifying else "neutral",
            note=_("Without them those services let nobody in.") if found.verifying else "",
        ),
        Stat(label=_("Ended already"), value=found.already_ended),
    ]


def _counts(found: EmergencyList) -> list[Term]:
    parts = (
        (_("By environment"), found.by_environment),
        (_("By team"), found.by_team),
        (_("By service"), found.by_service),
    )
    terms = [
        Term(name=name, value=", ".join(f"{key}: {n}" for key, n in sorted(counts.items()))) for name, counts in parts
    ]
    return [*terms, Term(name=_("SHA-256 of the list"), value=found.digest, mono=True)]


def _terms(found: Receipt) -> list[Term]:
    facts = found.facts
    searched = ", ".join(f"{name}: {value}" for name, value in facts["searched"].items())
    return [
        Term(name=_("When"), value=found.event.occurred_at.strftime("%Y-%m-%d %H:%M:%S UTC")),
        Term(name=_("Who"), value=actor_name(found.event)),
        Term(name=_("Reason"), value=found.reason),
        Term(name=_("Chosen by"), value=searched),
        Term(name=_("On the list"), value=facts["listed"]),
        Term(name=_("SHA-256 of the list"), value=facts["digest"], mono=True),
        Term(name=_("Number of the act in the log"), value=str(found.act), mono=True),
    ]


def _told(event: AuditEvent) -> dict[str, object]:
    facts = event.envelope().get("details")
    return {"act": event.target_id, "at": event.occurred_at, "by": actor_name(event), "facts": facts}


def _query(searched: dict[str, str]) -> str:
    query = QueryDict(mutable=True)
    for name, value in searched.items():
        if name != "list":
            query[name] = "on" if name == "leaked" else value
    return query.urlencode()
