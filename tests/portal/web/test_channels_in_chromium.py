"""What needs people, how they are told, webhooks and chats in Chromium: light and dark, wide and narrow."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from audit import clock
from keys.models import WebhookDelivery
from keys.people.calendar_feeds import make_feed
from keys.webhooks.chats import add_chat
from keys.webhooks.endpoints import add_endpoint
from tests.people import World, acting, approved, issued, submitted
from tests.portal.browser import NARROW, WIDE
from tests.portal.web.test_pages_in_chromium import browser_of
from tests.servers import PortalServer

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("sealing")]
PICTURES = os.environ.get("KEYSTEAD_PICTURES", "")
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
    pages = {
        "webhooks": "/webhooks/", "webhook": hook, "webhook-rotate": f"{hook}rotate/", "webhook-new": "/webhooks/new/",
        "chat": here, "chat-new": "/team/reporting/chats/new/", "team": "/team/reporting/",
        "notifications": "/account/notifications/", "calendar-new": "/account/calendar/new/", "needs": "/needs/",
    }  # fmt: skip
    found: list[str] = []
    for viewport, scheme in ((WIDE, "light"), (NARROW, "dark")):
        visit = browser_of(world.alice, chromium, portal_server, viewport, scheme)
        for name, path in pages.items():
            visit.page.goto(portal_server.url + path)
            if PICTURES:
                visit.picture(Path(PICTURES) / f"{name}-{scheme}.png")
            found += [f"{scheme} {path}: {each}" for each in visit.findings()]
            if visit.page.evaluate("document.documentElement.scrollWidth") > viewport["width"]:
                found.append(f"{scheme} {path}: scrolls sideways")
        found += [f"{scheme} {each}" for each in visit.violations]
        found += [each for each in visit.mistakes if "Failed to load resource" not in each]
        visit.context.close()
    nobody = browser_of(world.carol, chromium, portal_server, WIDE, "light")
    for name, path in {"webhooks-none": "/webhooks/", "needs-decision": "/needs/"}.items():
        nobody.page.goto(portal_server.url + path)
        if PICTURES:
            nobody.picture(Path(PICTURES) / f"{name}.png")
        found += [f"{path}: {each}" for each in nobody.findings()]
    nobody.context.close()
    assert found == []
