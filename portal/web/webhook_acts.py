"""Ask for presence before an endpoint gets a new secret, is enabled again or is removed."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actor import Actor
from keys.errors import NotFound
from keys.models import WebhookEndpoint
from keys.states import EndpointForm
from keys.webhooks.endpoints import enable_endpoint, remove_endpoint, rotate_endpoint_secret
from portal.accounts.step_up import StepUpProblem, confirm, fields
from portal.actors import actor_of
from portal.web.doors import form_page
from portal.web.webhooks import answers_for, found_endpoint, shown_once

_WORDS: dict[str, tuple[Promise, Promise]] = {
    "rotate": (
        gettext_lazy("Replace the secret"),
        gettext_lazy("A new secret is shown once. For a day both sign, so change the receiver over within it."),
    ),
    "enable": (
        gettext_lazy("Enable"),
        gettext_lazy("What it did not accept is sent again, at once. What happened while it was disabled is not."),
    ),
    "remove": (
        gettext_lazy("Remove"),
        gettext_lazy("Nothing is sent there any more and its secrets are deleted. To undo it, add it again."),
    ),
}


@form_page
def rotate_webhook(http: HttpRequest, actor: Actor, uid: UUID) -> HttpResponse:
    """Replace the secret, and show the new one this one time."""
    if found_endpoint(uid, actor=actor).form == EndpointForm.CHAT:
        raise NotFound  # nothing signs what is said in a chat
    endpoint, answer = _asked(http, actor, uid, "rotate")
    return answer or shown_once(http, rotate_endpoint_secret(endpoint, actor=actor_of(http)))


@form_page
def enable_webhook(http: HttpRequest, actor: Actor, uid: UUID) -> HttpResponse:
    """Send to it again."""
    endpoint, answer = _asked(http, actor, uid, "enable")
    if answer is not None:
        return answer
    enable_endpoint(endpoint, actor=actor_of(http))
    messages.success(http, _("Enabled."))
    return HttpResponseRedirect(reverse("webhook", args=[uid]))


@form_page
def remove_webhook(http: HttpRequest, actor: Actor, uid: UUID) -> HttpResponse:
    """End it."""
    endpoint, answer = _asked(http, actor, uid, "remove")
    if answer is not None:
        return answer
    remove_endpoint(endpoint, actor=actor_of(http))
    messages.success(http, _("Removed."))
    return HttpResponseRedirect(reverse("webhooks"))


def _asked(http: HttpRequest, actor: Actor, uid: UUID, name: str) -> tuple[WebhookEndpoint, HttpResponse | None]:
    """The endpoint, and the page that asks, while nobody has confirmed it."""
    endpoint = found_endpoint(uid, actor=actor)
    if not answers_for(actor, endpoint):
        raise NotFound
    problem: StepUpProblem | None = None
    if http.method == "POST":
        problem = confirm(http, "webhooks")
        if problem is None:
            return endpoint, None
    title, what = _WORDS[name]
    context = {
        "endpoint": endpoint,
        "title": title,
        "what": what,
        "is_danger": name == "remove",
        "step_up": fields(http, "webhooks", problem=problem),
    }
    return endpoint, render(http, "web/webhook_act.html", context, status=problem.status if problem else 200)
