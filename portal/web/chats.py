"""Let leads have a chat told what concerns their team."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actor import Actor
from keys.errors import NotFound
from keys.models import Team, WebhookEndpoint
from keys.states import EndpointForm, MessageFamily
from keys.webhooks.addresses import LONGEST
from keys.webhooks.chats import add_chat
from portal.web.attempts import attempt
from portal.web.channel_words import FAMILIES
from portal.web.doors import form_page
from portal.web.webhooks import owners_for


class ChatForm(forms.Form):
    """Where a team's chat takes messages, and which."""

    description = forms.CharField(label=gettext_lazy("What the chat is called"), max_length=120)
    url = forms.CharField(
        label=gettext_lazy("Address of its incoming webhook"),
        max_length=LONGEST,
        help_text=gettext_lazy(
            "As Slack, Mattermost or Rocket.Chat give it to you. Whoever knows it can write there, so it is shown to leads only."
        ),
    )
    kinds = forms.MultipleChoiceField(
        label=gettext_lazy("What is said there"),
        widget=forms.CheckboxSelectMultiple,
        choices=[(str(family), FAMILIES[family][0]) for family in MessageFamily],
        help_text=gettext_lazy("What may be an attack is said in any case."),
    )


def chats_of(team: Team, *, actor: Actor) -> list[WebhookEndpoint]:
    """The chats of a team, for those who see its webhooks."""
    rows = WebhookEndpoint.objects.visible_to(actor).living()
    return list(rows.filter(owner_team=team, form=EndpointForm.CHAT))


@form_page
def add_team_chat(http: HttpRequest, actor: Actor, slug: str) -> HttpResponse:
    """Add a chat of a team; for others there is no such page."""
    team = Team.objects.visible_to(actor).living().filter(slug=slug).first()
    if team is None or slug not in dict(owners_for(actor)):
        raise NotFound
    form = ChatForm(http.POST if http.method == "POST" else None, initial={"kinds": [str(MessageFamily.REMINDERS)]})

    def added(who: Actor) -> HttpResponse:
        chat = add_chat(team, actor=who, **form.cleaned_data)
        messages.success(http, _("Added. Send a test, and look whether it arrives."))
        return HttpResponseRedirect(reverse("webhook", args=[chat.pk]))

    tried = attempt(http, form, purpose="webhooks", act_on=added)
    if isinstance(tried, HttpResponse):
        return tried
    context = {"form": form, "team": team, "step_up": tried.step_up}
    return render(http, "web/chat_form.html", context, status=tried.status)
