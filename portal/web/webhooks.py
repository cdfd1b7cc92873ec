"""Show where events are sent and what became of them; let leads and administrators add, test, stop and remove endpoints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
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
from audit.events import catalogue
from keys.errors import NotFound
from keys.models import Team, WebhookDelivery, WebhookEndpoint
from keys.people.standing import standing_of
from keys.policy.facts import ActorFacts
from keys.policy.webhook_rules import may_answer_for_webhook
from keys.states import EndpointForm as Form
from keys.states import MessageFamily, Role
from keys.webhooks.addresses import LONGEST, place_of
from keys.webhooks.again import redeliver, send_test_event
from keys.webhooks.endpoints import Fresh, add_endpoint, change_endpoint, disable_endpoint
from keys.webhooks.reach import kinds_for
from portal.web.attempts import attempt
from portal.web.channel_words import FAMILIES
from portal.web.doors import act, form_page, page
from portal.web.finding import teams_led_by
from portal.web.listing import keyset_page

WHOLE = "organisation"


class EndpointForm(forms.Form):
    """Where events go, and which."""

    description = forms.CharField(label=gettext_lazy("What receives them"), max_length=120)
    url = forms.CharField(
        label=gettext_lazy("Address"),
        max_length=LONGEST,
        help_text=gettext_lazy("An https address on the public internet. Redirects are not followed."),
    )
    kinds = forms.MultipleChoiceField(label=gettext_lazy("Events"), widget=forms.CheckboxSelectMultiple)

    def __init__(
        self, *args: Any, whole_organisation: bool, form: Form = Form.EVENTS, **kwargs: Any
    ) -> None:  # Any: Django's options
        super().__init__(*args, **kwargs)
        self.fields["kinds"].choices = (  # type: ignore[attr-defined]  # a choice field, as above
            [(str(family), FAMILIES[family][0]) for family in MessageFamily]
            if form == Form.CHAT
            else _grouped(kinds_for(whole_organisation=whole_organisation))
        )


def _grouped(kinds: Iterable[str]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Events with what they say, under what they are about: nobody reads fifty lines in one piece."""
    known, groups = catalogue(), dict[str, list[tuple[str, str]]]()
    for kind in kinds:
        subject = kind.partition(".")[0].replace("-", " ").capitalize()
        said = (known[kind].__doc__ or "").strip().splitlines()[0]
        groups.setdefault(subject, []).append((kind, f"{kind}: {said}"))
    return list(groups.items())


def found_endpoint(uid: UUID, *, actor: Actor) -> WebhookEndpoint:
    """Find an endpoint that the actor may see."""
    row = WebhookEndpoint.objects.visible_to(actor).living().select_related("owner_team").filter(pk=uid).first()
    if row is None:
        raise NotFound
    return row


def answers_for(actor: Actor, endpoint: WebhookEndpoint) -> bool:
    """Whether the actor may do something about an endpoint."""
    who = standing_of(actor, at=clock.now())
    return bool(may_answer_for_webhook(who, team_id=endpoint.owner_team_id))


@page
def webhooks(http: HttpRequest, actor: Actor) -> HttpResponse:
    """List endpoints."""
    rows = list(WebhookEndpoint.objects.visible_to(actor).living().select_related("owner_team"))
    context = {"rows": [(row, place_of(row.url)) for row in rows], "may_add": bool(owners_for(actor))}
    return render(http, "web/webhooks.html", context)


def owners_for(actor: Actor) -> list[tuple[str, str]]:
    """For whom somebody may add an endpoint: their teams, all of them, the organisation."""
    who: ActorFacts = standing_of(actor, at=clock.now())
    if who.has(Role.ADMINISTRATOR):
        teams = list(Team.objects.visible_to(actor).living())
        return [(WHOLE, _("The whole organisation")), *((team.slug, team.name) for team in teams)]
    return [(team.slug, team.name) for team in teams_led_by(actor)]


@form_page
def add_webhook(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Choose whose events, then say where they go; the secret is in the answer and nowhere else."""
    owners = dict(owners_for(actor))
    chosen = http.GET.get("owner", "") or next(iter(owners), "")
    if chosen not in owners:
        raise NotFound
    form = EndpointForm(http.POST if http.method == "POST" else None, whole_organisation=chosen == WHOLE)

    def added(who: Actor) -> HttpResponse:
        team = None if chosen == WHOLE else Team.objects.visible_to(actor).get(slug=chosen)
        return shown_once(http, add_endpoint(team, actor=who, **form.cleaned_data))

    tried = attempt(http, form, purpose="webhooks", act_on=added)
    if isinstance(tried, HttpResponse):
        return tried
    context = {
        "form": form,
        "owners": [(slug, name, slug == chosen) for slug, name in owners.items()],
        "step_up": tried.step_up,
    }
    return render(http, "web/webhook_form.html", context, status=tried.status)


def shown_once(http: HttpRequest, fresh: Fresh) -> HttpResponse:
    """Show a new secret this one time."""
    context = {"endpoint": fresh.endpoint, "secret": fresh.secret.reveal()}
    answer = render(http, "web/webhook_secret.html", context)
    answer["Pragma"] = "no-cache"
    return answer


@form_page
def edit_webhook(http: HttpRequest, actor: Actor, uid: UUID) -> HttpResponse:
    """Change the address, the name or the events."""
    endpoint = found_endpoint(uid, actor=actor)
    if not answers_for(actor, endpoint):
        raise NotFound
    initial = {"url": endpoint.url, "description": endpoint.description, "kinds": endpoint.kinds}
    form = EndpointForm(
        http.POST if http.method == "POST" else None,
        initial=initial,
        whole_organisation=endpoint.owner_team_id is None,
        form=Form(endpoint.form),
    )

    def changed(who: Actor) -> HttpResponse:
        change_endpoint(endpoint, actor=who, **form.cleaned_data)
        messages.success(http, _("Changed."))
        return HttpResponseRedirect(reverse("webhook", args=[uid]))

    tried = attempt(http, form, purpose="webhooks", act_on=changed)
    if isinstance(tried, HttpResponse):
        return tried
    context = {"form": form, "endpoint": endpoint, "step_up": tried.step_up}
    return render(http, "web/webhook_form.html", context, status=tried.status)


@page
def webhook(http: HttpRequest, actor: Actor, uid: UUID) -> HttpResponse:
    """Show an endpoint and the log of what was sent there."""
    endpoint = found_endpoint(uid, actor=actor)
    may_act = answers_for(actor, endpoint)
    rows = WebhookDelivery.objects.visible_to(actor).filter(endpoint=endpoint)
    only_failed = http.GET.get("show") == "failed"
    context = {
        "endpoint": endpoint,
        "is_chat": endpoint.form == Form.CHAT,
        "kinds": _kinds(endpoint),
        "address": endpoint.url if may_act else place_of(endpoint.url),
        "deliveries": keyset_page(rows.failed() if only_failed else rows, http, order="-created_at"),
        "only_failed": only_failed,
        "may_act": may_act,
    }
    return render(http, "web/webhook.html", context)


def _kinds(endpoint: WebhookEndpoint) -> list[str]:
    """What an endpoint is told of, as people call it."""
    if endpoint.form != Form.CHAT:
        return list(endpoint.kinds)
    return [str(FAMILIES[MessageFamily(each)][0]) for each in endpoint.kinds]


@act
def disable_webhook(http: HttpRequest, actor: Actor, uid: UUID) -> HttpResponse:
    """Send nothing more."""
    disable_endpoint(found_endpoint(uid, actor=actor), actor=actor)
    messages.success(http, _("Disabled. What was not accepted waits until you enable it."))
    return HttpResponseRedirect(reverse("webhook", args=[uid]))


@act
def test_webhook(http: HttpRequest, actor: Actor, uid: UUID) -> HttpResponse:
    """Send a test event."""
    send_test_event(found_endpoint(uid, actor=actor), actor=actor)
    messages.success(http, _("A test event is on its way. Reload this page in a moment."))
    return HttpResponseRedirect(reverse("webhook", args=[uid]))


@act
def redeliver_webhook(http: HttpRequest, actor: Actor, uid: UUID, delivery_id: UUID) -> HttpResponse:
    """Send an event once more."""
    endpoint = found_endpoint(uid, actor=actor)
    delivery = WebhookDelivery.objects.visible_to(actor).filter(endpoint=endpoint, pk=delivery_id).first()
    if delivery is None:
        raise NotFound
    redeliver(delivery, actor=actor)
    messages.success(http, _("It is sent once more, under the same webhook-id."))
    return HttpResponseRedirect(reverse("webhook", args=[uid]))
