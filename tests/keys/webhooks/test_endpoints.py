"""Who says where events are sent, and what is on record of it."""

from collections.abc import Callable
from typing import Any

import pytest

from audit.actor import Actor
from audit.models import AuditEvent
from keys.errors import Conflict, Denied, Invalid
from keys.models import WebhookDelivery, WebhookEndpoint
from keys.webhooks.again import redeliver, send_test_event
from keys.webhooks.endpoints import (
    MOST_ENDPOINTS,
    add_endpoint,
    change_endpoint,
    disable_endpoint,
    enable_endpoint,
    remove_endpoint,
    rotate_endpoint_secret,
)
from keys.webhooks.reach import kinds_for
from tests.people import World, acting

URL = "https://hooks.example.com/T0/path-token"
WISH = {"url": URL, "kinds": ["key.revoked"], "description": "Chat"}


def endpoint_of(world: World, *, team: bool = True) -> WebhookEndpoint:
    owner = (world.reporting, world.alice) if team else (None, world.admin)
    return add_endpoint(owner[0], actor=acting(owner[1], "webhooks"), **WISH).endpoint


ACTS: dict[str, Callable[[WebhookEndpoint, Actor], Any]] = {
    "change": lambda row, actor: change_endpoint(row, actor=actor, **{**WISH, "description": "Other"}),
    "rotate": lambda row, actor: rotate_endpoint_secret(row, actor=actor),
    "disable": lambda row, actor: disable_endpoint(row, actor=actor),
    "enable": lambda row, actor: enable_endpoint(row, actor=actor),
    "remove": lambda row, actor: remove_endpoint(row, actor=actor),
    "test": lambda row, actor: send_test_event(row, actor=actor),
    "redeliver": lambda row, actor: redeliver(row.deliveries.get(), actor=actor),
}


@pytest.mark.parametrize("act", ACTS)
def test_the_lead_and_administrators_may_members_and_strangers_may_not(world: World, act: str) -> None:
    for who, allowed in (("alice", True), ("admin", True), ("anna", False), ("mallory", False), ("auditor", False)):
        row = endpoint_of(world)
        if act == "enable":
            disable_endpoint(row, actor=acting(world.alice))
        if act == "redeliver":
            send_test_event(row, actor=acting(world.alice))
        actor = acting(getattr(world, who), "webhooks")
        before = AuditEvent.objects.with_action("access.denied").count()
        if allowed:
            ACTS[act](row, actor)
        else:
            with pytest.raises(Denied) as denied:
                ACTS[act](row, actor)
            assert denied.value.code == "not_a_lead"
            assert AuditEvent.objects.with_action("access.denied").count() == before + 1


@pytest.mark.parametrize("act", ["change", "rotate", "enable", "remove"])
def test_what_decides_who_learns_what_needs_presence(world: World, act: str) -> None:
    row = endpoint_of(world)
    if act == "enable":
        disable_endpoint(row, actor=acting(world.alice))
    with pytest.raises(Denied, match="step_up_required"):
        ACTS[act](row, acting(world.alice, "export"))


def test_only_administrators_answer_for_the_whole_organisation(world: World) -> None:
    assert endpoint_of(world, team=False).owner_team is None
    for person in (world.alice, world.auditor, world.responder):
        with pytest.raises(Denied, match="not_an_administrator"):
            add_endpoint(None, actor=acting(person, "webhooks"), **WISH)
    for actor in (Actor.operator("root"), Actor.job("any")):
        with pytest.raises(Denied, match="only_people_change_webhooks"):
            add_endpoint(None, actor=actor, **WISH)


def test_a_team_sees_its_own_and_those_who_answer_for_the_whole_see_all(world: World) -> None:
    mine, whole = endpoint_of(world), endpoint_of(world, team=False)

    def seen(actor: Actor | None) -> set[Any]:
        return set(WebhookEndpoint.objects.visible_to(actor))

    assert seen(acting(world.anna)) == {mine}
    assert seen(acting(world.auditor)) == {mine, whole}
    assert seen(acting(world.mallory)) == set()
    assert seen(None) == set()


def test_a_team_chooses_among_what_it_may_see(world: World) -> None:
    assert "person.roles-changed" in kinds_for(whole_organisation=True)
    for kinds, code in (
        (["person.roles-changed"], "unknown_choice"),
        (["no.such"], "unknown_choice"),
        ([], "required"),
    ):
        with pytest.raises(Invalid) as refused:
            add_endpoint(world.reporting, actor=acting(world.alice, "webhooks"), **{**WISH, "kinds": kinds})
        assert refused.value.fields["kinds"][0] == code


def test_there_is_an_end_to_endpoints(world: World) -> None:
    for _ in range(MOST_ENDPOINTS):
        endpoint_of(world)
    with pytest.raises(Invalid) as refused:
        endpoint_of(world)
    assert refused.value.fields["url"][0] == "too_many"


def test_secrets_are_sealed_shown_once_and_in_no_event(world: World) -> None:
    fresh = add_endpoint(world.reporting, actor=acting(world.alice, "webhooks"), **WISH)
    again = rotate_endpoint_secret(fresh.endpoint, actor=acting(world.alice, "webhooks"))
    row = WebhookEndpoint.objects.get()
    stored = f"{row.sealed_secret} {row.previous_secret}"
    for each in (fresh, again):
        text = each.secret.reveal()
        assert text.startswith("whsec_")
        assert text not in stored
        assert text not in repr(each)
        for event in AuditEvent.objects.with_action("webhook.added", "webhook.secret-rotated"):
            assert text not in bytes(event.payload).decode()
    added = AuditEvent.objects.get(action="webhook.added")
    assert "path-token" not in bytes(added.payload).decode(), "the address is in the private part"


def test_what_is_removed_keeps_no_secret_and_is_not_acted_on(world: World) -> None:
    row = endpoint_of(world)
    delivery = send_test_event(row, actor=acting(world.alice))
    remove_endpoint(row, actor=acting(world.alice, "webhooks"))
    row.refresh_from_db()
    assert (row.sealed_secret, row.previous_secret) == ("", "")
    for act in ACTS.values():
        with pytest.raises(Conflict, match="webhook_removed"):
            act(row, acting(world.alice, "webhooks"))
    assert WebhookDelivery.objects.visible_to(acting(world.anna)).get() == delivery


def test_nothing_is_sent_again_by_hand_while_it_is_disabled(world: World) -> None:
    row = endpoint_of(world)
    delivery = send_test_event(row, actor=acting(world.alice))
    disable_endpoint(row, actor=acting(world.alice))
    with pytest.raises(Conflict, match="webhook_disabled"):
        redeliver(delivery, actor=acting(world.alice))
    with pytest.raises(Conflict, match="webhook_disabled"):
        send_test_event(row, actor=acting(world.alice))
