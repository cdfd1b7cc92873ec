"""A team's chat is told in words what concerns the team: once, in the form that chats read, with nothing of people's in markup."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings

from audit import clock
from audit.actor import Actor
from audit.models import AuditEvent
from keys.catalogue.services import change_service
from keys.dispatch.cursor import read_all
from keys.errors import Conflict, Denied, Invalid
from keys.lifecycle.revocation import report_leak, revoke_key
from keys.models import DispatchCursor, WebhookDelivery, WebhookEndpoint
from keys.notifications.chats import tell_chats
from keys.notifications.reactions import READER, notice_everyone
from keys.notifications.reminders import remind
from keys.states import RevocationReason
from keys.webhooks.again import send_test_event
from keys.webhooks.chat_form import LONGEST_SECTION, chat_body
from keys.webhooks.chats import add_chat
from keys.webhooks.delivering import deliver_due
from keys.webhooks.endpoints import change_endpoint, remove_endpoint, rotate_endpoint_secret
from tests.keys.webhooks.receivers import receiving
from tests.people import World, acting, issued, submitted
from tests.sealers import SealingThread

URL = "https://hooks.example.com/services/T0/B0/path-token"
EVERYTHING = ("needs", "reminders", "changes", "news")


def chat(world: World, *kinds: str, team: Any = None, lead: Any = None, url: str = URL) -> WebhookEndpoint:
    return add_chat(
        team or world.reporting,
        url=url,
        kinds=kinds or EVERYTHING,
        description="Chat",
        actor=acting(lead or world.alice, "webhooks"),
    )


def said(endpoint: WebhookEndpoint) -> list[str]:
    rows = WebhookDelivery.objects.filter(endpoint=endpoint).order_by("created_at", "leaf")
    return [row.action for row in rows]


def react(sealing: SealingThread) -> None:
    sealing.settle()
    read_all(READER, (notice_everyone, tell_chats))


def test_each_side_is_told_what_concerns_it_once(sealing: SealingThread, world: World) -> None:
    owners = chat(world)
    service = chat(world, team=world.orders_team, lead=world.bob)
    security = chat(world, team=world.security, lead=world.admin)
    strangers = chat(world, team=world.other, lead=world.mallory)
    issued(world)
    react(sealing)
    assert said(owners) == ["request.approved", "version.created"]
    assert said(service) == said(security) == ["request.submitted"]
    assert said(strangers) == []
    DispatchCursor.objects.filter(reader=READER).update(next_leaf=0)
    react(sealing)
    assert len(said(owners)) == 2


def test_a_chat_is_told_its_families_and_what_may_be_an_attack_in_any_case(
    sealing: SealingThread, world: World
) -> None:
    reminders = chat(world, "reminders")
    service = chat(world, "news", team=world.orders_team, lead=world.bob)
    key, _, _ = issued(world)
    report_leak(key, actor=acting(world.anna))
    react(sealing)
    assert set(said(reminders)) == {"key.leak-reported", "version.suspended"}
    assert set(said(service)) == {"key.leak-reported", "version.suspended"}, "both sides are concerned"
    other, _, _ = issued(world, name="No longer needed")
    revoke_key(other, actor=acting(world.anna, "revoke"), reason=RevocationReason.CESSATION_OF_OPERATION)
    react(sealing)
    assert "key.revoked" not in said(reminders)


def test_reminders_reach_chats_in_the_same_sweep_and_a_flood_is_one_message(world: World) -> None:
    owners, service = chat(world), chat(world, team=world.orders_team, lead=world.bob)
    keys = [issued(world, name=f"Report {number}")[0] for number in range(7)]
    last = max(key.authorised_until for key in keys)
    remind(at=last - timedelta(days=13))
    assert said(owners) == ["digest"]
    body = json.loads(WebhookDelivery.objects.get().body)
    assert all(str(key) in body["text"] for key in keys)
    remind(at=last - timedelta(days=13))
    assert said(owners) == ["digest"]
    assert said(service) == []
    remind(at=last - timedelta(hours=1))
    assert said(owners) == ["digest", "digest"]
    assert said(service) == ["digest"], "on the last day those who answer for the service too"


def test_what_is_sent_is_what_chats_read(sealing: SealingThread, world: World, settings: Any) -> None:
    settings.KEYSTEAD_WEBHOOK_LOOPBACK = True
    with receiving() as receiver:
        receiver.status, receiver.says = 200, b"ok"
        endpoint = chat(world, url=receiver.url)
        send_test_event(endpoint, actor=acting(world.alice))
        assert deliver_due(actor=Actor.job("send_webhooks")) == 1
    (came,) = receiver.came
    assert "webhook-signature" not in came.headers
    assert came.headers["content-type"].startswith("application/json")
    assert set(came.facts) == {"text", "blocks"}
    assert [block["type"] for block in came.facts["blocks"]] == ["section"] * 3
    assert came.facts["blocks"][-1]["text"]["text"] == "<http://localhost:8000/|Open Keystead>"


def test_names_are_text_wherever_they_are_shown(sealing: SealingThread, world: World) -> None:
    named = "<!channel> @here *bold* <https://evil.test|Orders>"
    change_service(
        world.orders, name=named, description="", owner_team=world.orders_team, actor=acting(world.admin, "catalogue")
    )
    owners = chat(world, team=world.orders_team, lead=world.bob)
    submitted(world)
    react(sealing)
    body = json.loads(WebhookDelivery.objects.get(endpoint=owners).body)
    assert "<!channel>" not in body["text"]
    assert "<https://evil" not in body["text"]
    assert "@here" not in str(body)
    *words, link = body["blocks"]
    assert {block["text"]["type"] for block in words} == {"plain_text"}
    assert "evil" not in link["text"]["text"]
    assert "Alice" not in str(body)
    assert settings.KEYSTEAD_PUBLIC_URL in link["text"]["text"]


def test_a_long_message_is_cut_because_the_whole_would_be_refused() -> None:
    body = json.loads(chat_body(subject="s", sentence="x" * 9000, action="a", link="http://l", lines=["y"] * 50))
    assert max(len(block["text"]["text"]) for block in body["blocks"]) == LONGEST_SECTION


def test_leads_and_administrators_add_chats_others_do_not(world: World) -> None:
    for refused in (world.anna, world.mallory, world.auditor):
        with pytest.raises(Denied, match="not_a_lead"):
            chat(world, lead=refused)
    with pytest.raises(Denied, match="step_up_required"):
        add_chat(world.reporting, url=URL, kinds=["needs"], description="C", actor=acting(world.alice))
    for wrong in ({"kinds": ["key.revoked"]}, {"kinds": []}, {"url": "http://hooks.example.com/"}):
        with pytest.raises(Invalid):
            add_chat(
                world.reporting,
                actor=acting(world.alice, "webhooks"),
                **{"url": URL, "kinds": ["needs"], "description": "C", **wrong},  # type: ignore[arg-type]
            )
    endpoint = chat(world, lead=world.admin)
    told = AuditEvent.objects.get(action="webhook.added")
    assert "path-token" not in bytes(told.payload).decode()
    with pytest.raises(Conflict, match="chat_has_no_secret"):
        rotate_endpoint_secret(endpoint, actor=acting(world.alice, "webhooks"))
    changed = change_endpoint(
        endpoint, url=URL, kinds=["changes"], description="C", actor=acting(world.alice, "webhooks")
    )
    assert changed.kinds == ["changes"]
    remove_endpoint(endpoint, actor=acting(world.alice, "webhooks"))
    assert clock.now() >= WebhookEndpoint.objects.get().removed_at  # type: ignore[operator]
