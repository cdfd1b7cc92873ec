"""How people are told, in the browser: one's own choice, calendars shown once, a team's mail and chats; strangers find nothing."""

from __future__ import annotations

import html
import re

import pytest
from django.test import Client
from django.urls import reverse

from keys.models import CalendarFeed, QuietChoice, WebhookEndpoint
from keys.people import links
from keys.webhooks.chats import add_chat
from tests.people import acting, issued
from tests.portal.doorway import events, signed_in

pytestmark = pytest.mark.django_db
CHOICE = {"needs": "now", "reminders": "digest", "changes": "quiet", "news": "digest"}
CHAT = {"url": "https://hooks.example.com/T0/path-token", "kinds": ["needs", "reminders"], "description": "Reporting"}
HERE = "/account/notifications/"


def test_people_choose_and_see_what_they_chose(world):
    client = signed_in(world.alice)
    assert client.get(HERE).status_code == 200
    assert client.post(HERE, CHOICE).status_code == 302
    assert QuietChoice.objects.get().reminders == "digest"
    page = client.get(HERE).content.decode()
    assert re.search(r'value="quiet" selected', page)
    answer = client.post(HERE, {**CHOICE, "needs": "shouted"})
    assert answer.status_code == 422
    assert QuietChoice.objects.get().needs == "now"
    assert Client().get(HERE).status_code == 302
    assert len(events(action="quiet-choice.made")) == 1


def test_an_address_is_shown_once_replaced_and_removed(world):
    issued(world)
    client = signed_in(world.alice, "export")
    make = reverse("make_calendar")
    assert client.get(make).status_code == 200
    answer = client.post(make)
    found = re.search(r"http://[^\s\"<]+/calendar/[\w-]{43}\.ics", html.unescape(answer.content.decode()))
    assert found is not None
    assert "no-store" in answer["Cache-Control"]
    address = found[0].removeprefix("http://localhost:8000")
    assert address == links.PATHS[links.CALENDAR].format(token=address[10:53])
    assert Client().get(address).status_code == 200
    page = client.get(HERE).content.decode()
    assert address not in page
    feed = CalendarFeed.objects.get()
    assert signed_in(world.mallory).post(reverse("remove_calendar", args=[feed.pk])).status_code == 404
    assert client.post(reverse("remove_calendar", args=[feed.pk])).status_code == 302
    assert Client().get(address).status_code == 404


def test_without_presence_or_membership_there_is_no_address(world):
    assert signed_in(world.alice).post(reverse("make_calendar")).status_code == 422
    assert signed_in(world.mallory, "export").post(reverse("make_calendar") + "?team=reporting").status_code == 404
    assert not CalendarFeed.objects.exists()
    assert signed_in(world.alice, "export").post(reverse("make_calendar") + "?team=reporting").status_code == 200
    assert CalendarFeed.objects.get().team == world.reporting


def test_a_calendar_is_also_a_file_for_whoever_is_signed_in(world):
    issued(world)
    for name, path in (("alice", "/account/calendar.ics"), ("anna", "/team/reporting/calendar.ics")):
        answer = signed_in(getattr(world, name)).get(path)
        assert answer["Content-Type"].startswith("text/calendar")
        assert b"Nightly report ends" in answer.content
    assert b"Nightly" not in signed_in(world.mallory).get("/account/calendar.ics").content
    assert signed_in(world.mallory).get("/team/reporting/calendar.ics").status_code == 404
    assert signed_in(world.auditor).get("/team/reporting/calendar.ics").status_code == 200
    assert Client().get("/account/calendar.ics").status_code == 302


def test_leads_choose_whom_of_the_team_mails_reach(world):
    path = reverse("choose_team_mail", args=["reporting"])
    assert signed_in(world.alice).post(path, {"mail_to": "members"}).status_code == 302
    world.reporting.refresh_from_db()
    assert world.reporting.mail_to == "members"
    assert {signed_in(each).post(path, {"mail_to": "leads"}).status_code for each in (world.anna, world.mallory)} == {
        403
    }
    assert signed_in(world.alice).post(path, {"mail_to": "everybody"}).status_code in (302, 422)
    assert signed_in(world.alice).post(reverse("choose_team_mail", args=["nobody"])).status_code == 404
    world.reporting.refresh_from_db()
    assert world.reporting.mail_to == "members"
    assert 'name="mail_to"' in signed_in(world.alice).get("/team/reporting/").content.decode()
    assert "All members" in signed_in(world.anna).get("/team/reporting/").content.decode()


def test_leads_add_chats_and_see_them_among_the_webhooks(world):
    path = reverse("add_chat", args=["reporting"])
    assert {signed_in(each, "*").get(path).status_code for each in (world.anna, world.mallory)} == {404}
    assert {signed_in(each, "*").post(path, CHAT).status_code for each in (world.anna, world.mallory)} == {404}
    assert signed_in(world.alice).post(path, CHAT).status_code == 422
    client = signed_in(world.alice, "webhooks")
    assert client.get(path).status_code == 200
    assert client.post(path, {**CHAT, "url": "https://10.0.0.1/"}).status_code == 422
    assert client.post(path, {**CHAT, "kinds": ["key.revoked"]}).status_code == 422
    assert client.post(path, CHAT).status_code == 302
    row = WebhookEndpoint.objects.get()
    assert (row.form, row.kinds, row.owner_team) == ("chat", ["needs", "reminders"], world.reporting)
    page = client.get(reverse("webhook", args=[row.pk])).content.decode()
    assert "What needs you, Reminders" in page
    assert "Replace the secret" not in page
    assert client.get(reverse("rotate_webhook", args=[row.pk])).status_code == 404
    assert client.post(reverse("test_webhook", args=[row.pk])).status_code == 302
    edited = client.post(reverse("edit_webhook", args=[row.pk]), {**CHAT, "kinds": ["changes"]})
    assert edited.status_code == 302
    row.refresh_from_db()
    assert row.kinds == ["changes"]
    assert "Reporting" in client.get("/team/reporting/").content.decode()
    assert "path-token" not in signed_in(world.anna).get("/team/reporting/").content.decode()


def test_chats_come_over_rest_too(world):
    wish = {**CHAT, "team": "reporting"}
    made = signed_in(world.alice, "webhooks").post("/api/v1/chats", wish, content_type="application/json")
    assert (made.status_code, made.json()["form"]) == (201, "chat")
    assert "secret" not in made.json()
    elsewhere = signed_in(world.mallory, "webhooks").post("/api/v1/chats", wish, content_type="application/json")
    assert elsewhere.status_code == 403
    chosen = signed_in(world.alice).post("/api/v1/me/notifications/choose", CHOICE, content_type="application/json")
    assert chosen.json() == CHOICE
    assert signed_in(world.alice).get("/api/v1/me/notifications").json() == CHOICE
    assert add_chat(world.other, actor=acting(world.mallory, "webhooks"), **CHAT).pk
