"""Show proposals that would weaken production, old beside new, and let a second administrator decide."""

from __future__ import annotations

from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from audit import clock
from audit.actor import Actor
from keys.catalogue.policies import decide_proposal
from keys.catalogue.rule_differences import LABELS, differences_of
from keys.errors import Conflict, Invalid, NotFound
from keys.models import PolicyProposal
from keys.people.standing import standing_of
from keys.policy.rules import may_accept_proposal, may_administer
from keys.policy.step_up import but_for_step_up
from portal.accounts.step_up import StepUpProblem, confirm, fields
from portal.actors import actor_of
from portal.web.confirmation import TypedConfirmation
from portal.web.doors import form_page, page
from portal.web.listing import keyset_page
from portal.web.reasons import mark, why_not, words_of

ANSWERS = {"accept": True, "refuse": False}


@page
def proposals(http: HttpRequest, actor: Actor) -> HttpResponse:
    """List what waits for a second administrator, and what was decided."""
    found = PolicyProposal.objects.visible_to(actor).select_related(
        "service", "environment", "proposed_by", "decided_by"
    )
    _only_for_readers(actor)
    context = {
        "waiting": [_line(row) for row in found.waiting()],
        "page": (decided := keyset_page(found.filter(decided_at__isnull=False), http, order="-created_at")),
        "decided": [_line(row) for row in decided.rows],
    }
    return render(http, "web/policies/proposals.html", context)


def _only_for_readers(actor: Actor) -> None:
    """For people whom proposals do not concern, there is no such page."""
    if not standing_of(actor, at=clock.now()).roles:
        raise NotFound


def _line(row: PolicyProposal) -> dict[str, object]:
    return {"proposal": row, "weakened": [LABELS.get(name, name) for name in row.weakened]}


@form_page
def proposal(http: HttpRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Show one proposal; accept or refuse it."""
    rows = PolicyProposal.objects.visible_to(actor).select_related(
        "service", "environment", "proposed_by", "decided_by"
    )
    row = rows.filter(pk=pk).first()
    if row is None:
        raise NotFound
    answer = http.POST.get("answer", "")
    # Accepting is typed; refusing only keeps what is.
    form = TypedConfirmation(http.POST if answer == "accept" else None, phrase=row.service.slug)
    refusal, problem, status = "", None, 200
    if http.method == "POST":
        refusal, problem, status = _decide(http, row, form, answer)
        if status == 303:
            return HttpResponseRedirect(reverse("policy_proposals"))
    who, at = standing_of(actor, at=clock.now()), clock.now()
    accepting = may_accept_proposal(actor, who, proposed_by_id=row.proposed_by_id, at=at)
    refusing = may_administer(actor, who, purpose="policy", at=at)
    context = {
        **_line(row),
        "changes": differences_of(row),
        "form": form,
        "refusal": refusal,
        "may_accept": but_for_step_up(accepting),
        "may_refuse": but_for_step_up(refusing),
        "why_not": why_not(accepting),
        "step_up": fields(http, "policy", problem=problem),
    }
    return render(http, "web/policies/proposal.html", context, status=status)


def _decide(
    http: HttpRequest, row: PolicyProposal, form: forms.Form, answer: str
) -> tuple[str, StepUpProblem | None, int]:
    """Call the operation; returns words for a conflict, a problem with the step-up, and the status (303: done)."""
    if answer not in ANSWERS or (form.is_bound and not form.is_valid()):
        return "", None, 422
    problem = confirm(http, "policy")
    if problem is not None:
        return "", problem, problem.status
    try:
        policy = decide_proposal(row, accept=ANSWERS[answer], actor=actor_of(http))
    except Invalid as invalid:
        mark(form, invalid)
        return " ".join(words_of(Conflict(code)) for code, _params in invalid.fields.values()), None, 422
    except Conflict as conflict:
        return words_of(conflict), None, 409
    if policy is not None:
        messages.success(http, _("Accepted: %(policy)s is in force.") % {"policy": policy})
    else:
        messages.success(http, _("Refused: the rules stay as they are."))
    return "", None, 303
