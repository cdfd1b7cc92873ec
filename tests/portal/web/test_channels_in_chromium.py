"""What needs people, how they are told, webhooks and chats in Chromium: light and dark, wide and narrow."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from audit import clock
from keys.models import WebhookDelivery
from keys.people.calendar_feeds import make_feed
from keys.webhooks.chats import add_chat
from keys.webhooks.endpoints import add_endpoint
from tests.people import World, acting, approved, issued, submitted
from tests.portal.browser import VIEWS
from tests.portal.web.looking import amiss
from tests.servers import PortalServer

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("sealing")]
LONG = "https://hooks.example.com/services/" + "T0123456789" * 8


def delivered(endpoint: object) -> None:
    """One of each state in the log of an endpoint."""
    at = clock.now()
    for place, (state, facts) in enumerate(
        (
            (
                "accepted",
                {"status_code": 204, "latency_ms": 31, "outcome": "accepted", "attempts": 1, "accepted_at": at},
            ),
            (
                "waiting",
                {"status_code": 500, "latency_ms": 9021, "outcome": "refused", "attempts": 4, "answer": "x" * 200},
            ),
            ("waiting", {"attempts": 0}),
            ("failed", {"latency_ms": 5000, "outcome": "timed-out", "attempts": 10}),
        )
    ):
        WebhookDelivery.objects.create(
            endpoint=endpoint,  # type: ignore[misc]
            event_uid=f"8f9d5f0e-7d0c-4b77-9f8e-0d0f3a5a1f0{place}",
            action="rotation.rolled-back",
            body="{}",
            state=state,
            created_at=at,
            next_attempt_at=at if state == "waiting" else None,
            **facts,
        )


def test_the_pages_are_accessible_keep_the_policy_and_fit(
    chromium: Browser, portal_server: PortalServer, world: World
) -> None:
    endpoint = add_endpoint(
        world.reporting, url=LONG, kinds=["key.revoked", "rotation.rolled-back"], description="Ticket system",
        actor=acting(world.alice, "webhooks"),
    ).endpoint  # fmt: skip
    delivered(endpoint)
    chat = add_chat(
        world.reporting, url=LONG, kinds=["needs", "reminders"], description="#reporting in the chat",
        actor=acting(world.alice, "webhooks"),
    )  # fmt: skip
    delivered(chat)
    make_feed(world.alice, actor=acting(world.alice, "export"))
    approved(world)
    issued(world, name="A key with a name that is rather long for what it is")
    submitted(world)
    hook, here = f"/webhooks/{endpoint.pk}/", f"/webhooks/{chat.pk}/"
    pages = [
        "/webhooks/", hook, f"{hook}rotate/", "/webhooks/new/", here, "/team/reporting/chats/new/", "/team/reporting/",
        "/account/notifications/", "/account/calendar/new/", "/needs/",
    ]  # fmt: skip
    found = amiss(world.alice, pages, chromium, portal_server)
    # Whoever has nothing of it sees the same places, empty.
    assert found + amiss(world.carol, ["/webhooks/", "/needs/"], chromium, portal_server, views=VIEWS[:1]) == []
