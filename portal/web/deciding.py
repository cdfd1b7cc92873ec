"""Decide about a request: approve, narrow, ask back or deny, signed by a passkey or confirmed with a code."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, cast

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit import clock
from audit.actor import Actor
from audit.canonical import CanonicalError, parse_strict
from keys.approvals.content import content_of
from keys.approvals.decisions import (
    approve_request,
    deny_request,
    narrow_request,
    narrowed,
    return_request,
)
from keys.approvals.facts import request_facts
from keys.approvals.quorum import rules_for
from keys.approvals.signing import Signature, challenge, prepare_statement, read_signature
from keys.errors import Conflict, Invalid
from keys.models import KeyRequest, Person
from keys.people.standing import standing_of
from keys.people.webauthn import assertion_options
from keys.policy.rules import may_decide, seats_for
from keys.states import RequestState
from portal.accounts.step_up import StepUpProblem, confirm, missing
from portal.actors import actor_of
from portal.web.decision_form import DecisionForm, decision_form
from portal.web.doors import act
from portal.web.finding import request_by_number
from portal.web.reasons import mark, words_of
from portal.web.refusals import enforce_before
from portal.web.requests import request_page

OPERATIONS: Final[Mapping[str, Callable[..., object]]] = {
    "approve": approve_request,
    "narrow": narrow_request,
    "return": return_request,
    "deny": deny_request,
}
NONCE: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
SAID = {
    "approve": gettext_lazy("Your approval is on record."),
    "narrow": gettext_lazy("Narrowed and approved. Earlier approvals no longer count; the requester is told."),
    "return": gettext_lazy("Asked back. The requester is told and can answer by editing the request."),
    "deny": gettext_lazy("Denied. The requester is told, with your reason."),
}


@act
def statement(http: HttpRequest, actor: Actor, number: int) -> HttpResponse:
    """Store the statement of the decision in this form, and give the browser what a passkey needs to sign it."""
    request = request_by_number(number, actor=actor)
    _enforce_deciding(request, before=prepare_statement, actor=actor)
    if http.POST.get("digest", "") != request.digest:
        return JsonResponse({"words": words_of(Conflict("content_changed"))}, status=409)
    form = DecisionForm(http.POST, content=content_of(request.content))
    if not form.is_valid():
        return _refused(form)
    decision, digest = form.cleaned_data["decision"], request.digest
    try:
        if decision == "narrow":
            digest = narrowed(form.content, form.narrowing()).digest
        stored = prepare_statement(request, decision=decision, digest=digest, actor=actor)
    except Invalid as invalid:
        mark(form, invalid)
        return _refused(form)
    options = assertion_options(cast(Person, http.user), challenge(stored))
    return JsonResponse({"publicKey": options, "fields": {"nonce": stored.nonce}})


def _refused(form: DecisionForm) -> HttpResponse:
    words = [str(words) for errors in form.errors.values() for words in errors]
    return JsonResponse({"words": " ".join(words)}, status=422)


@act
def decide(http: HttpRequest, actor: Actor, number: int) -> HttpResponse:
    """Decide, by a signature in the form or else by a code."""
    request = request_by_number(number, actor=actor)
    wanted = OPERATIONS.get(http.POST.get("decision", ""), approve_request)
    _enforce_deciding(request, before=wanted, actor=actor)
    if http.POST.get("digest", "") != request.digest:
        return _anew(http, actor, request, Conflict("content_changed"))
    form = DecisionForm(http.POST, content=content_of(request.content))
    if not form.is_valid():
        return _again(http, actor, request, form, problem=missing(http, "approve"))
    problem: StepUpProblem | None = None
    try:
        signature = _signature(http, actor)
        if signature is None:
            problem = confirm(http, "approve")
            actor = actor_of(http)
        if problem is None:
            request = _carry_out(request, form, actor=actor, signature=signature)
            messages.success(http, _said(request, form.cleaned_data["decision"]))
            return HttpResponseRedirect(reverse("request", args=[number]))
    except Invalid as invalid:
        mark(form, invalid)
        return _again(http, actor, request, form)
    except Conflict as conflict:
        return _anew(http, actor, request_by_number(number, actor=actor), conflict)
    return _again(http, actor, request, form, status=problem.status, problem=problem)


def _enforce_deciding(request: KeyRequest, *, before: Callable[..., object], actor: Actor) -> None:
    """Refuse whoever may not decide before anything is asked of them or told to them; on record."""
    at = clock.now()
    who = standing_of(actor, at=at)
    facts = request_facts(request, rules=rules_for(request), at=at)
    seats = seats_for(who, facts)
    deciding = may_decide(who, facts, seat=seats[0] if seats else who.person_id)
    enforce_before(before, request, deciding, actor=actor)


def _signature(http: HttpRequest, actor: Actor) -> Signature | None:
    answer = http.POST.get("assertion", "")
    if not answer:
        return None
    try:
        parsed = parse_strict(answer.encode())
    except (CanonicalError, UnicodeEncodeError) as error:
        raise Invalid.field("signature", "malformed_assertion") from error
    nonce = http.POST.get("nonce", "")
    if not NONCE.fullmatch(nonce):
        raise Invalid.field("signature", "unknown_statement")
    return read_signature(nonce, parsed, actor=actor)


def _carry_out(request: KeyRequest, form: DecisionForm, *, actor: Actor, signature: Signature | None) -> KeyRequest:
    typed = form.cleaned_data
    decision, digest, comment = typed["decision"], typed["digest"], typed["comment"]
    if decision == "approve":
        return approve_request(request, digest=digest, actor=actor, signature=signature, comment=comment)
    if decision == "narrow":
        return narrow_request(
            request, form.narrowing(), digest=digest, actor=actor, signature=signature, comment=comment
        )
    if decision == "return":
        return return_request(request, digest=digest, question=comment, actor=actor, signature=signature)
    return deny_request(request, digest=digest, comment=comment, actor=actor, signature=signature)


def _said(request: KeyRequest, decision: str) -> str:
    if request.state == RequestState.APPROVED:
        return _("Your approval is on record and completes the quorum: the key exists and its recipient can claim it.")
    return str(SAID[decision])


def _again(
    http: HttpRequest,
    actor: Actor,
    request: KeyRequest,
    form: DecisionForm,
    *,
    status: int = 422,
    problem: StepUpProblem | None = None,
) -> HttpResponse:
    """Draw the page again with what was typed."""
    return request_page(http, actor, request, status=status, form=form, problem=problem)


def _anew(http: HttpRequest, actor: Actor, request: KeyRequest, conflict: Conflict) -> HttpResponse:
    """Draw the present state, say what changed, and keep the words that were typed."""
    form = decision_form(request, comment=http.POST.get("comment", "")[:2000])
    return request_page(http, actor, request, status=409, form=form, refused=words_of(conflict))
