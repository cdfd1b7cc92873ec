"""List requests, show one with everything a decision rests on, take it back, remind those who decide."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit import clock
from audit.actor import Actor
from keys.approvals.submission import nudge_request, withdraw_request
from keys.errors import Conflict
from keys.models import KeyRequest, Service
from keys.states import RequestState
from portal.accounts.step_up import StepUpProblem, fields
from portal.templatetags.badges import REQUEST_STATES
from portal.web.components import Tab
from portal.web.decision_form import DecisionForm, decision_form
from portal.web.doors import act, page
from portal.web.dossier import dossier_of
from portal.web.filters import choice, environment_choice, is_filtered, number_in, searched
from portal.web.finding import request_by_number, teams_of
from portal.web.listing import Sorting, keyset_page
from portal.web.reasons import words_of

WHOSE = {
    "mine": gettext_lazy("Mine"),
    "team": gettext_lazy("My teams'"),
    "all": gettext_lazy("All I may see"),
}


@page
def requests(http: HttpRequest, actor: Actor) -> HttpResponse:
    """List requests: one's own, one's teams', or all that one may see."""
    at = clock.now()
    whose = http.GET.get("whose", "mine")
    whose = whose if whose in WHOSE else "mine"
    choices = [
        choice(
            http,
            "state",
            _("State"),
            [(state, REQUEST_STATES[state].words) for state in RequestState],  # type: ignore[misc]  # words are lazy
            any_label=_("Any state"),
        ),
        choice(http, "service", _("Service"), _services(actor), any_label=_("Any service")),
        environment_choice(http, actor),
    ]
    search = searched(http)
    rows = _filtered(_whose(whose, actor), search, {each.name: each.chosen for each in choices}, at=at)
    sorting = Sorting.chosen(http, allowed=("created_at", "lapses_at"), default="-created_at")
    found = keyset_page(
        rows.select_related("service", "environment", "owner_team", "requester", "requested_by_key"),
        http,
        order=sorting.current,
    )
    context = {
        "page": found,
        "rows": [(request, shown_state(request, at=at)) for request in found.rows],
        "sorting": sorting,
        "choices": choices,
        "search": search,
        "whose": whose,
        "tabs": [Tab(label=label, href=f"?whose={name}", is_current=name == whose) for name, label in WHOSE.items()],
        "is_filtered": is_filtered(search, choices),
    }
    return render(http, "web/requests.html", context)


def _services(actor: Actor) -> list[tuple[str, str]]:
    return [(row.slug, row.name) for row in Service.objects.visible_to(actor).living()]


def _whose(whose: str, actor: Actor) -> QuerySet[KeyRequest]:
    rows = KeyRequest.objects.visible_to(actor)
    if whose == "mine":
        return rows.filter(requester_id=UUID(actor.id))
    return rows.filter(owner_team__in=teams_of(actor)) if whose == "team" else rows


def _filtered(rows: QuerySet[KeyRequest], search: str, chosen: dict[str, str], *, at: datetime) -> QuerySet[KeyRequest]:
    if search:
        number = number_in(search, "REQ-")
        rows = rows.filter(
            Q(content__name__icontains=search)
            | Q(content__consumer__icontains=search)
            | (Q(number=number) if number is not None else Q(pk=None))
        )
    if chosen["state"]:
        rows = _in_state(rows, RequestState(chosen["state"]), at=at)
    if chosen["service"]:
        rows = rows.filter(service__slug=chosen["service"])
    if chosen["environment"]:
        rows = rows.filter(environment__tag=chosen["environment"])
    return rows


def _in_state(rows: QuerySet[KeyRequest], state: RequestState, *, at: datetime) -> QuerySet[KeyRequest]:
    """Filter by the state as it is shown: the clock ends a request before the job writes it down."""
    if state in (RequestState.PENDING, RequestState.RETURNED):
        return rows.filter(state=state, lapses_at__gt=at)
    if state == RequestState.LAPSED:
        late = Q(state__in=(RequestState.PENDING, RequestState.RETURNED), lapses_at__lte=at)
        return rows.filter(Q(state=state) | late)
    return rows.filter(state=state)


def shown_state(request: KeyRequest, *, at: datetime) -> RequestState:
    """The state of a request, by the clock too."""
    is_open = request.state in (RequestState.PENDING, RequestState.RETURNED)
    return RequestState.LAPSED if is_open and request.lapses_at <= at else RequestState(request.state)


@page
def request_detail(http: HttpRequest, actor: Actor, number: int) -> HttpResponse:
    """Show one request: what is asked, what it would add, who may decide, what happened."""
    return request_page(http, actor, request_by_number(number, actor=actor))


def request_page(
    http: HttpRequest,
    actor: Actor,
    request: KeyRequest,
    *,
    status: int = 200,
    form: DecisionForm | None = None,
    problem: StepUpProblem | None = None,
    refused: str = "",
) -> HttpResponse:
    """Draw a request; after a refused decision `form`, `problem` and `refused` bring back what was typed and say why."""
    dossier = dossier_of(request, actor=actor)
    context: dict[str, object] = {"dossier": dossier, "environment": request.environment, "refused": refused}
    if dossier.may_decide:
        context["form"] = form or decision_form(request)
        context["step_up"] = fields(http, "approve", problem=problem)
    elif form is not None and form.is_bound:
        context["refused"] = " ".join(map(str, form.non_field_errors()))
    return render(http, "web/request.html", context, status=status)


@page
def request_content(http: HttpRequest, actor: Actor, number: int) -> HttpResponse:
    """Hand out the canonical content, whose SHA-256 over RFC 8785 is the digest that approvers sign."""
    request = request_by_number(number, actor=actor)
    answer = JsonResponse(
        request.content, json_dumps_params={"ensure_ascii": False, "separators": (",", ":"), "sort_keys": True}
    )
    answer["Content-Disposition"] = f'attachment; filename="REQ-{request.number}-r{request.revision}.json"'
    return answer


@act
def withdraw(http: HttpRequest, actor: Actor, number: int) -> HttpResponse:
    """Take a request back."""
    request = request_by_number(number, actor=actor)
    withdraw_request(request, actor=actor)
    messages.success(http, _("Withdrawn. Nobody has to decide about it any more."))
    return HttpResponseRedirect(reverse("request", args=[number]))


@act
def nudge(http: HttpRequest, actor: Actor, number: int) -> HttpResponse:
    """Remind those who can decide."""
    request = request_by_number(number, actor=actor)
    try:
        nudge_request(request, actor=actor)
    except Conflict as conflict:
        messages.warning(http, words_of(conflict))
    else:
        messages.success(http, _("Those who can decide are reminded."))
    return HttpResponseRedirect(reverse("request", args=[number]))
