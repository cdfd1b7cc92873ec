"""What needs a person: each kind for whoever can do something about it, one action each, counted in the navigation and over REST."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit import clock
from keys.approvals.decisions import return_request
from keys.catalogue.policies import add_version, rules_of
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.handover import offer_transfer
from keys.lifecycle.revocation import report_leak
from keys.lifecycle.rotation import start_rotation
from keys.models import (
    Environment,
    KeyVersion,
    ManagedKey,
    Policy,
    Sighting,
    UsageCount,
    WebhookDelivery,
    WebhookEndpoint,
)
from keys.notifications.needs import NeedKind, needs_of
from keys.notifications.words import PATHS
from keys.people.roles import deactivate_person
from keys.webhooks.endpoints import add_endpoint
from tests.people import SYSTEM, World, acting, approved, issued, submitted

pytestmark = pytest.mark.django_db
Browser = Callable[..., Client]


def kinds(person: object, *, later: timedelta = timedelta()) -> dict[str, int]:
    found = needs_of(acting(person), at=clock.now() + later)  # type: ignore[arg-type]
    return {str(kind): len(found.of(kind)) for kind in NeedKind if found.of(kind)}


def seen(version: KeyVersion | None) -> None:
    assert version is not None
    at = clock.now() - timedelta(hours=1)
    Sighting.objects.create(
        version=version, address="10.0.0.5", user_agent="report/2", first_at=at, last_at=at, count=1
    )


def rotating(world: World, **changes: object) -> ManagedKey:
    """A key whose both secrets work, with one client still on the old one."""
    key, old, _ = issued(world, **changes)
    rotation = start_rotation(key, actor=acting(world.anna, "claim"))
    assert rotation.new_version is not None
    claim_secret(rotation.new_version, actor=acting(world.alice, "claim"))
    seen(old)
    return key


def test_with_nothing_to_do_nothing_waits(world: World, as_: Browser) -> None:
    assert kinds(world.mallory) == {}
    page = as_("mallory").get("/needs/").content.decode()
    assert "Nothing needs you" in page
    assert 'href="/account/notifications/"' in page


def test_claims_and_next_secrets_wait_for_the_recipient_alone(world: World, as_: Browser) -> None:
    approved(world)
    key, _, _ = issued(world, name="Replaced")
    start_rotation(key, actor=acting(world.anna, "claim"))
    assert kinds(world.alice) == {"claim": 2}
    assert kinds(world.anna) == {}
    page = as_("alice").get("/needs/").content.decode()
    assert "Claim the secret of Nightly report" in page
    assert "Claim the next secret of Replaced" in page
    assert re.search(r'Needs me <span class="count">2', page)
    assert re.search(r'Needs me <span class="count">2', as_("alice").get("/account/sessions/").content.decode())


def test_decisions_questions_and_offers_wait_for_those_who_can_answer(world: World) -> None:
    request = submitted(world)
    assert kinds(world.bob) == {"decision": 1}
    assert kinds(world.mallory) == {}
    return_request(request, digest=request.digest, question="What for?", actor=acting(world.bob, "approve"))
    assert kinds(world.alice) == {"question": 1}
    assert kinds(world.bob) == {}
    key, _, _ = issued(world)
    offer_transfer(key, to_team=world.orders_team, actor=acting(world.alice, "handover"))
    assert kinds(world.bob) == {"transfer": 1}
    assert kinds(world.ben) == {}, "no lead"


def test_laggards_wait_for_the_recipient_and_the_leads_until_they_have_moved(world: World, as_: Browser) -> None:
    key = rotating(world)
    assert kinds(world.alice)["laggards"] == 1
    assert "laggards" not in kinds(world.anna)
    page = as_("alice").get("/needs/").content.decode()
    assert "1 client still uses the old secret of Nightly report" in page
    assert f'href="/keys/{key.number}/rotation/"' in page
    new = key.versions.order_by("-sequence").first()
    at = clock.now()
    Sighting.objects.create(version=new, address="10.0.0.5", user_agent="report/2", first_at=at, last_at=at, count=1)
    assert "laggards" not in kinds(world.alice)


def test_what_is_suspended_or_ends_waits_for_the_team(world: World) -> None:
    leaked, _, _ = issued(world, name="Leaked")
    report_leak(leaked, actor=acting(world.anna))
    assert kinds(world.anna) == kinds(world.alice) == {"suspended": 1}
    _, version, _ = issued(world, name="Ending")
    KeyVersion.objects.filter(pk=version.pk).update(expires_at=clock.now() + timedelta(days=3))
    assert kinds(world.anna) == {"suspended": 1, "ending": 1}
    assert "ending" not in kinds(world.mallory)


def test_unused_keys_wait_for_those_who_answer_for_them(world: World) -> None:
    production = Environment.objects.get(tag="prod")
    rules = rules_of(Policy.objects.current().get(service=world.orders, environment=production))
    add_version(world.orders, production, replace(rules, unused_days=20), actor=SYSTEM, at=clock.now())
    _, version, _ = issued(world)
    later = timedelta(days=25)
    assert kinds(world.alice, later=later).get("unused") == 1
    assert "unused" not in kinds(world.anna, later=later)
    at = clock.now() + timedelta(days=10)
    UsageCount.objects.create(version=version, outcome="valid", hour=at, count=1, last_at=at)
    assert "unused" not in kinds(world.alice, later=later)


def test_what_a_leaver_left_waits_for_leads_and_administrators(world: World, as_: Browser) -> None:
    issued(world)
    deactivate_person(world.alice, actor=acting(world.admin, "people"))
    assert kinds(world.admin)["leaver"] == 1
    assert "leaver" not in kinds(world.anna), "no lead"
    assert "leaver" not in kinds(world.bob), "lead of another team"
    page = as_("admin").get("/needs/").content.decode()
    assert f'href="/people/{world.alice.pk}/left/"' in page


def test_a_failing_webhook_waits_for_those_who_answer_for_it(world: World) -> None:
    endpoint = add_endpoint(
        world.reporting, url="https://hooks.example.com/", kinds=["key.revoked"], description="Chat",
        actor=acting(world.alice, "webhooks"),
    ).endpoint  # fmt: skip
    at = clock.now()
    WebhookDelivery.objects.create(
        endpoint=endpoint, event_uid="8f9d5f0e-7d0c-4b77-9f8e-0d0f3a5a1f00", action="key.revoked", body="{}",
        created_at=at, next_attempt_at=at, attempts=2,
    )  # fmt: skip
    assert kinds(world.alice) == {}, "a hiccup"
    WebhookDelivery.objects.update(attempts=3)
    assert kinds(world.alice) == kinds(world.admin) == {"webhook": 1}
    assert kinds(world.anna) == kinds(world.bob) == {}
    WebhookEndpoint.objects.update(disabled_at=at, disabled_reason="stopped")
    assert kinds(world.alice) == {}, "somebody stopped it and knows"
    WebhookEndpoint.objects.update(disabled_reason="failing")
    assert kinds(world.alice) == {"webhook": 1}


def test_everything_is_found_by_one_statement(world: World) -> None:
    rotating(world)
    submitted(world)
    actor = acting(world.admin)
    with CaptureQueriesContext(connection) as asked:
        needs_of(actor, at=clock.now())
    assert len(asked) <= 5, "the time, who it is, and what waits"


def test_over_rest_the_same_is_told(world: World, as_: Browser) -> None:
    key = approved(world)
    answer = as_("alice").get("/api/v1/me/needs").json()
    assert (answer["total"], answer["page"]) == (1, "/needs/")
    (need,) = answer["needs"]
    assert need["kind"] == "claim"
    assert need["path"] == f"/keys/{key.number}/claim/"
    assert need["environment"] == "prod"
    assert as_("mallory").get("/api/v1/me/needs").json()["needs"] == []


def test_without_signing_in_there_is_no_answer(client: Client) -> None:
    assert client.get("/needs/").status_code == 302
    assert client.get("/api/v1/me/needs").status_code == 401


def test_mails_lead_to_the_pages_that_are_there() -> None:
    assert PATHS["needs"] == reverse("needs")
    assert PATHS["rotation"].format(number=7) == reverse("rotation", args=[7])
