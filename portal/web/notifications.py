"""Let people choose how they are told, and see from where their calendars read."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from audit.actor import Actor
from keys.errors import Invalid
from keys.models import CalendarFeed, QuietChoice, Team
from keys.notifications.choices import choice_of, choose_quiet, choose_team_mail
from keys.states import MessageFamily, TeamMail
from portal.accounts.doors import person_of
from portal.web.channel_words import FAMILIES, TEAM_MAILS, TELLINGS
from portal.web.doors import act, form_page
from portal.web.finding import team_by_slug, teams_of
from portal.web.reasons import mark


class QuietForm(forms.Form):
    """One choice for each family of messages."""

    def __init__(self, *args: Any, choice: QuietChoice, **kwargs: Any) -> None:  # Any: Django's options
        super().__init__(*args, **kwargs)
        for family in MessageFamily:
            label, explained = FAMILIES[family]
            self.fields[str(family)] = forms.ChoiceField(
                label=str(label),
                help_text=str(explained),
                choices=[(str(each), words) for each, words in TELLINGS.items()],
                initial=getattr(choice, str(family)),
            )


@form_page
def notifications(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Show and take the choice, with the calendars beside it."""
    person = person_of(http)
    form = QuietForm(http.POST if http.method == "POST" else None, choice=choice_of(person))
    if form.is_bound and form.is_valid():
        try:
            choose_quiet(person, actor=actor, choice=form.cleaned_data)
        except Invalid as invalid:
            mark(form, invalid)
        else:
            messages.success(http, _("Kept. What nobody may sleep through is mailed all the same."))
            return HttpResponseRedirect(reverse("notifications"))
    context = {"form": form, "calendars": _calendars(actor)}
    return render(http, "web/notifications.html", context, status=422 if form.is_bound else 200)


def _calendars(actor: Actor) -> list[tuple[Team | None, CalendarFeed | None]]:
    """The person's own calendar and those of their teams, each with its address if there is one."""
    feeds = {feed.team_id: feed for feed in CalendarFeed.objects.visible_to(actor).living()}
    return [(None, feeds.get(None)), *((team, feeds.get(team.pk)) for team in teams_of(actor))]


@act
def choose_mail(http: HttpRequest, actor: Actor, slug: str) -> HttpResponse:
    """Choose whom of a team mails reach."""
    team = choose_team_mail(team_by_slug(slug, actor=actor), actor=actor, mail_to=http.POST.get("mail_to", ""))
    words = TEAM_MAILS[TeamMail(team.mail_to)]
    messages.success(http, _("Kept. Mails about the team's keys reach: %(whom)s.") % {"whom": words})
    return HttpResponseRedirect(reverse("one_team", args=[team.slug]))
