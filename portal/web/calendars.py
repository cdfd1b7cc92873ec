"""Give people their rotations and expiries as a calendar: as a file, or at an address that is shown once."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from audit import clock
from audit.actor import Actor
from keys.errors import NotFound
from keys.models import CalendarFeed, Team
from keys.models.reach import reach_of
from keys.people.calendar_feeds import make_feed, remove_feed
from portal.accounts.calendar_feed import calendar_file
from portal.accounts.doors import person_of
from portal.accounts.step_up import StepUpProblem, confirm, fields
from portal.actors import actor_of
from portal.web.doors import act, form_page, page
from portal.web.finding import team_by_slug, teams_of


@page
def my_calendar(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Download one's own calendar as it is now."""
    return calendar_file(http, actor, team=None, at=clock.now())


@page
def team_calendar(http: HttpRequest, actor: Actor, slug: str) -> HttpResponse:
    """Download the calendar of a team: for its members, and those who answer for the whole."""
    team = team_by_slug(slug, actor=actor)
    reach = reach_of(actor)
    if team.pk not in reach.team_ids and not reach.everything:
        raise NotFound
    return calendar_file(http, actor, team=team, at=clock.now())


@form_page
def make_calendar(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Ask for presence, then show a new address this one time; the one before stops."""
    team = _chosen(http, actor)
    problem: StepUpProblem | None = None
    if http.method == "POST":
        problem = confirm(http, "export")
        if problem is None:
            fresh = make_feed(person_of(http), actor=actor_of(http), team=team)
            answer = render(http, "web/calendar_link.html", {"feed": fresh.feed, "link": fresh.link.reveal()})
            answer["Pragma"] = "no-cache"
            return answer
    context = {
        "team": team,
        "replaces": CalendarFeed.objects.visible_to(actor).living().filter(team=team).exists(),
        "step_up": fields(http, "export", problem=problem),
    }
    return render(http, "web/calendar_form.html", context, status=problem.status if problem else 200)


def _chosen(http: HttpRequest, actor: Actor) -> Team | None:
    """The team of the address; a team that one is not in is not there."""
    slug = http.GET.get("team", "")
    if not slug:
        return None
    found = next((team for team in teams_of(actor) if team.slug == slug), None)
    if found is None:
        raise NotFound
    return found


@act
def remove_calendar(http: HttpRequest, actor: Actor, uid: UUID) -> HttpResponse:
    """Let an address answer nobody any more."""
    feed = CalendarFeed.objects.visible_to(actor).living().filter(pk=uid).first()
    if feed is None:
        raise NotFound
    remove_feed(feed, actor=actor)
    messages.success(http, _("The address answers nobody any more."))
    return HttpResponseRedirect(reverse("notifications"))
