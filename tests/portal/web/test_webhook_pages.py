"""Webhooks in the browser: the lead, a member, a stranger; the secret is shown once; bad input gets words."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse

from keys.models import WebhookDelivery, WebhookEndpoint
from keys.notifications.words import PATHS
from keys.webhooks.again import send_test_event
from keys.webhooks.endpoints import add_endpoint
from tests.people import acting
from tests.portal.doorway import events, signed_in

pytestmark = pytest.mark.django_db
URL = "https://hooks.example.com/T0/path-token"
WISH = {"url": URL, "kinds": ["key.revoked"], "description": "Chat"}
ACTS = ("edit_webhook", "rotate_webhook", "enable_webhook", "remove_webhook")
BUTTONS = ("disable_webhook", "test_webhook")


@pytest.fixture
def endpoint(world):
    return add_endpoint(world.reporting, actor=acting(world.alice, "webhooks"), **WISH).endpoint


def test_a_lead_adds_one_and_sees_the_secret_once(world):
    client = signed_in(world.alice, "webhooks")
    assert client.get(reverse("add_webhook")).status_code == 200
    answer = client.post(reverse("add_webhook"), WISH)
    (secret,) = set(re.findall(r"whsec_[A-Za-z0-9+/=]{20,}", answer.content.decode().replace("&#x3D;", "=")))
    assert "no-store" in answer["Cache-Control"]
    row = WebhookEndpoint.objects.get()
    for name in ("webhook", *ACTS):
        assert secret not in client.get(reverse(name, args=[row.pk])).content.decode()
    assert events(action="webhook.added")


def test_the_list_says_what_webhooks_are_for_and_then_what_there_is(world, endpoint):
    assert "Nothing is sent anywhere" in signed_in(world.mallory).get(reverse("webhooks")).content.decode()
    page = signed_in(world.anna).get(reverse("webhooks")).content.decode()
    assert "https://hooks.example.com/…" in page
    assert "path-token" not in page


def test_a_member_looks_but_does_not_touch(world, endpoint):
    client = signed_in(world.anna, "*")
    page = client.get(reverse("webhook", args=[endpoint.pk]))
    assert page.status_code == 200
    assert "path-token" not in page.content.decode()
    assert {client.get(reverse(name, args=[endpoint.pk])).status_code for name in ACTS} == {404}
    assert {client.post(reverse(name, args=[endpoint.pk]), WISH).status_code for name in ACTS} == {404}
    assert {client.post(reverse(name, args=[endpoint.pk])).status_code for name in BUTTONS} == {403}
    assert client.get(reverse("add_webhook")).status_code == 404


def test_for_a_stranger_there_is_nothing(world, endpoint):
    delivery = send_test_event(endpoint, actor=acting(world.alice))
    client = signed_in(world.mallory, "*")
    names = ("webhook", *ACTS)
    assert {client.get(reverse(name, args=[endpoint.pk])).status_code for name in names} == {404}
    assert {client.post(reverse(name, args=[endpoint.pk]), WISH).status_code for name in ACTS + BUTTONS} == {404}
    assert client.post(reverse("redeliver_webhook", args=[endpoint.pk, delivery.pk])).status_code == 404
    assert client.post(reverse("add_webhook") + "?owner=reporting", WISH).status_code == 404
    assert {Client().get(reverse(name, args=[endpoint.pk])).status_code for name in names} == {302}


def test_the_lead_changes_tests_sends_again_stops_and_removes(world, endpoint):
    client = signed_in(world.alice, "webhooks")
    here = reverse("webhook", args=[endpoint.pk])
    assert here == PATHS["webhook"].format(id=endpoint.pk)
    assert "path-token" in client.get(here).content.decode()
    changed = {**WISH, "description": "Other chat"}
    assert client.post(reverse("edit_webhook", args=[endpoint.pk]), changed).status_code == 302
    assert client.post(reverse("test_webhook", args=[endpoint.pk])).status_code == 302
    delivery = WebhookDelivery.objects.get()
    WebhookDelivery.objects.update(attempts=2, outcome="refused", status_code=500, latency_ms=7, answer="<b>No</b>")
    page = client.get(here + "?show=failed").content.decode()
    assert "&lt;b&gt;No" in page
    assert "tried again" in page
    assert client.post(reverse("redeliver_webhook", args=[endpoint.pk, delivery.pk])).status_code == 302
    assert client.get(here + "?show=failed").content.decode().count("Nothing here") == 1
    assert b"whsec_" in client.post(reverse("rotate_webhook", args=[endpoint.pk])).content
    assert client.post(reverse("disable_webhook", args=[endpoint.pk])).status_code == 302
    assert "Disabled" in client.get(here).content.decode()
    assert client.post(reverse("enable_webhook", args=[endpoint.pk])).status_code == 302
    assert client.post(reverse("remove_webhook", args=[endpoint.pk])).status_code == 302
    assert client.get(here).status_code == 404
    done = [event.action for event in events(target_id=str(endpoint.pk))]
    assert done == [
        "webhook.added", "webhook.changed", "webhook.tested", "webhook.redelivered", "webhook.secret-rotated",
        "webhook.disabled", "webhook.enabled", "webhook.removed",
    ]  # fmt: skip


def test_without_presence_nothing_changes(world, endpoint):
    client = signed_in(world.alice)
    for name in ACTS:
        assert client.post(reverse(name, args=[endpoint.pk]), WISH).status_code == 422
    assert client.post(reverse("add_webhook"), WISH).status_code == 422
    assert WebhookEndpoint.objects.count() == 1


def test_an_administrator_chooses_whose_events(world):
    client = signed_in(world.admin, "webhooks")
    assert "person.roles-changed" in client.get(reverse("add_webhook")).content.decode()
    assert "person.roles-changed" not in client.get(reverse("add_webhook") + "?owner=orders").content.decode()
    assert client.post(reverse("add_webhook"), {**WISH, "kinds": ["person.roles-changed"]}).status_code == 200
    assert WebhookEndpoint.objects.get().owner_team is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "http://hooks.example.com/"},
        {"url": "https://127.0.0.1/"},
        {"url": "https://hooks.example.com/\u202e"},
        {"kinds": ["no.such"]},
        {"kinds": []},
        {"description": ""},
    ],
)
def test_bad_input_is_answered_with_words(world, endpoint, wrong):
    client = signed_in(world.alice, "webhooks")
    for address in (reverse("add_webhook"), reverse("edit_webhook", args=[endpoint.pk])):
        answer = client.post(address, {**WISH, **wrong})
        assert answer.status_code == 422
        assert "error" in answer.content.decode()
    assert WebhookEndpoint.objects.get().url == URL
