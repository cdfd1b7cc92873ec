"""Ask for a key, edit what was asked, ask for a renewal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from audit import clock
from audit.actor import Actor
from keys.approvals.content import content_of
from keys.approvals.drafting import Draft, faults_of
from keys.approvals.facts import request_facts
from keys.approvals.submission import edit_request, faults_of_renewal, request_renewal, submit_request
from keys.approvals.waiting import usual_wait
from keys.catalogue.policies import current_policy, rules_of
from keys.errors import Conflict, Invalid
from keys.models import Environment, KeyRequest, KeyTemplate, ManagedKey, Person, Scope, Service
from keys.people.standing import approvers_by_side, standing_of
from keys.policy.bounds import Rules
from keys.policy.rules import may_change_request
from keys.states import Access, RequestState
from portal.web.components import Step, steps
from portal.web.doors import form_page
from portal.web.finding import environments, key_by_number, members_of, request_by_number, teams_of
from portal.web.policy_words import policy_sentences
from portal.web.reasons import mark
from portal.web.refusals import enforce_before
from portal.web.wish_form import Offer, PeriodForm, WishForm, first_values, values_of
from portal.web.wording import ACCESS_HEADINGS


@dataclass(frozen=True, kw_only=True)
class Deciders:
    """Who can decide about a request that is being written, and what usually happens to it."""

    required: int
    service_required: int
    service_side: Sequence[Person]
    named: Sequence[Person]
    usual_wait: timedelta | None
    lapse_days: int
    claim_hours: int

    @property
    def are_enough(self) -> bool:
        everybody = {person.pk for person in (*self.service_side, *self.named)}
        return len(everybody) >= self.required and len(self.service_side) >= self.service_required


@form_page
def ask(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Ask for a new key: first for what and where, then for the rest."""
    offer = _offer(http, actor=actor)
    if offer is None:
        return _first_step(http, actor=actor)
    if http.method == "POST":
        form = WishForm(http.POST, offer=offer, asker=actor.id)
        request = _sent(form, lambda draft: submit_request(draft, actor=actor), actor=actor)
        if request is not None:
            return _after_asking(http, request, actor=actor)
        return _wish_page(http, form, offer, actor=actor, status=422)
    template = next((each for each in offer.templates if each.name == http.GET.get("template")), None)
    form = WishForm(initial=first_values(offer, template=template, asker=actor.id), offer=offer, asker=actor.id)
    return _wish_page(http, form, offer, actor=actor)


def _sent(form: WishForm, send: Callable[[Draft], KeyRequest], *, actor: Actor) -> KeyRequest | None:
    """Send a wish; or mark all that is wrong with it at once, whether the form or the operation says so."""
    if form.is_valid():
        try:
            return send(form.draft())
        except Invalid as invalid:
            mark(form, invalid)
    else:
        mark(form, Invalid(faults_of(form.draft(), actor=actor)))
    if "public_key" in form.errors:
        form.forget_public_key()
    return None


def _offer(http: HttpRequest, *, actor: Actor) -> Offer | None:
    """Read the first step from the address; anything unknown leads back to it."""
    service = (
        Service.objects.visible_to(actor)
        .living()
        .filter(slug=http.GET.get("service", ""), retires_at=None)
        .select_related("owner_team")
        .first()
    )
    environment = Environment.objects.visible_to(actor).filter(tag=http.GET.get("environment", "")).first()
    if service is None or environment is None:
        return None
    return offer_of(service, environment, actor=actor)


def offer_of(service: Service, environment: Environment, *, actor: Actor) -> Offer | None:
    """Gather what can be asked for; None when there are no rules yet, or the asker belongs to no team."""
    policy = current_policy(service, environment)
    teams = teams_of(actor)
    if policy is None or not teams:
        return None
    return Offer(
        service=service,
        environment=environment,
        rules=rules_of(policy),
        scopes=list(Scope.objects.visible_to(actor).living().filter(service=service, retires_at=None)),
        templates=list(KeyTemplate.objects.visible_to(actor).living().filter(service=service)),
        members=members_of(teams, actor=actor),
        own_services=list(Service.objects.visible_to(actor).living().filter(owner_team__in=teams)),
    )


def _first_step(http: HttpRequest, *, actor: Actor) -> HttpResponse:
    context = {
        "steps": _steps(0),
        "services": Service.objects.visible_to(actor).living().filter(retires_at=None).select_related("owner_team"),
        "environments": environments(actor),
        "service": http.GET.get("service", ""),
        "environment": http.GET.get("environment", ""),
        "has_team": bool(teams_of(actor)),
        "is_incomplete": bool(http.GET.get("service") or http.GET.get("environment")),
    }
    return render(http, "web/ask_first.html", context)


def _wish_page(
    http: HttpRequest,
    form: WishForm,
    offer: Offer,
    *,
    actor: Actor,
    status: int = 200,
    editing: KeyRequest | None = None,
) -> HttpResponse:
    at = clock.now()
    chosen = set(form["scopes"].value() or ())
    ordered = sorted(offer.scopes, key=lambda scope: (list(Access).index(Access(scope.access)), scope.name))
    context = {
        "form": form,
        "offer": offer,
        "environment": offer.environment,
        "steps": _steps(1),
        "groups": [
            (ACCESS_HEADINGS[access], [(scope, scope.name in chosen) for scope in scopes])
            for access, scopes in groupby(ordered, key=lambda scope: scope.access)
        ],
        "template_name": form["template"].value(),
        "deciders": deciders_of(offer.service, offer.environment, offer.rules, actor=actor, at=at),
        "rules": policy_sentences(offer.rules),
        "editing": editing,
    }
    return render(http, "web/ask.html", context, status=status)


def deciders_of(service: Service, environment: Environment, rules: Rules, *, actor: Actor, at: datetime) -> Deciders:
    """Name who could approve what this person asks for."""
    who = standing_of(actor, at=at)
    sides = approvers_by_side(
        service_team_id=service.owner_team_id, approver_team_id=rules.approver_team_id, excluded={who.person_id}
    )
    return Deciders(
        required=rules.approvals_required,
        service_required=rules.service_approvals_required,
        service_side=sides.get("service", []),
        named=sides.get("named", []),
        usual_wait=usual_wait(service, environment, at=at),
        lapse_days=rules.lapse_days,
        claim_hours=rules.claim_hours,
    )


def _after_asking(http: HttpRequest, request: KeyRequest, *, actor: Actor) -> HttpResponse:
    """Go where the next step is: to the key when nobody had to approve, else to the request."""
    if request.state == RequestState.APPROVED:
        key = ManagedKey.objects.visible_to(actor).filter(request=request).first() or request.renews
        if key is not None:
            messages.success(http, _("Granted: the policy asks for no approval here."))
            return HttpResponseRedirect(reverse("key", args=[key.number]))
    messages.success(http, _("Sent. Those who can approve it are told."))
    return HttpResponseRedirect(reverse("request", args=[request.number]))


@form_page
def edit(http: HttpRequest, actor: Actor, number: int) -> HttpResponse:
    """Change what an open request asks for; its approvals are void afterwards."""
    request = request_by_number(number, actor=actor)
    at = clock.now()
    changing = may_change_request(standing_of(actor, at=at), request_facts(request, rules=rules_of(request.policy)))
    enforce_before(edit_request, request, changing, actor=actor)
    if request.renews_id is not None:
        raise Conflict("renewals_are_not_edited")
    if request.state not in (RequestState.PENDING, RequestState.RETURNED):
        raise Conflict("request_not_open", state=request.state)
    offer = offer_of(request.service, request.environment, actor=actor)
    if offer is None:
        raise Conflict("request_not_open", state=request.state)
    if http.method == "POST":
        form = WishForm(http.POST, offer=offer, asker=actor.id)
        if _sent(form, lambda draft: edit_request(request, draft, actor=actor), actor=actor) is not None:
            messages.success(http, _("Saved and sent again. Approvals that were given before no longer count."))
            return HttpResponseRedirect(reverse("request", args=[request.number]))
        return _wish_page(http, form, offer, actor=actor, status=422, editing=request)
    values = values_of(content_of(request.content), rules=offer.rules, purpose=request.purpose)
    form = WishForm(initial=values, offer=offer, asker=actor.id)
    return _wish_page(http, form, offer, actor=actor, editing=request)


@form_page
def renew(http: HttpRequest, actor: Actor, number: int) -> HttpResponse:
    """Ask that a key stay authorised for longer."""
    key = key_by_number(number, actor=actor)
    policy = current_policy(key.service, key.environment)
    if policy is None or key.revoked_at is not None:
        raise Conflict("key_revoked" if key.revoked_at is not None else "no_policy")
    rules = rules_of(policy)
    status = 200
    if http.method == "POST":
        form = PeriodForm(http.POST, rules=rules)
        if form.is_valid():
            try:
                request = request_renewal(key, **form.wish(), actor=actor)
            except Invalid as invalid:
                mark(form, invalid)
            else:
                return _after_asking(http, request, actor=actor)
        else:
            mark(form, Invalid(faults_of_renewal(key, **form.wish(), actor=actor)))
        status = 422
    else:
        days = min(180, rules.max_authorised_days)
        form = PeriodForm(initial={"authorised_days": days, "purpose": _purpose_of(key)}, rules=rules)
    context = {
        "form": form,
        "key": key,
        "environment": key.environment,
        "deciders": deciders_of(key.service, key.environment, rules, actor=actor, at=clock.now()),
        "rules": policy_sentences(rules),
    }
    return render(http, "web/renew.html", context, status=status)


def _purpose_of(key: ManagedKey) -> str:
    return key.request.purpose if key.request is not None else ""


def _steps(current: int) -> list[Step]:
    return steps([_("Service and environment"), _("What and why"), _("Approval"), _("Claim")], current=current)
