"""The site is killed while somebody claims a secret: nothing left the house, and administrators hear of it."""

from __future__ import annotations

import os
import signal
import threading
import time
from datetime import timedelta

import pytest
import requests

from audit.models import AuditEvent
from keys.dispatch import intents
from keys.models import Notice
from keys.tasks import react, report_unfinished_intents
from tests.accounts import PASSWORD
from tests.journeys.travel import SECRET, Traveller, words_of
from tests.people import World, approved
from tests.sealers import SealingThread
from tests.servers import PortalServer


def test_a_site_killed_between_intent_and_secret_hands_nothing_out_and_is_reported(
    portal_server: PortalServer, sealing: SealingThread, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intents, "PATIENCE", timedelta())
    key = approved(world)
    alice = Traveller(portal_server, world.alice).takes_place()
    place = f"/keys/{key.number}/claim/"
    alice.get(place)
    sealing.stop()
    ended: list[object] = []
    form = {"version": "1", "code": alice.code()}

    def claim() -> None:
        try:
            alice.post(place, form)
            ended.append(alice.page)
        except requests.RequestException as error:
            ended.append(error)

    claiming = threading.Thread(target=claim)
    claiming.start()
    deadline = time.monotonic() + 20
    while not AuditEvent.objects.filter(action="version.claim-intended").exists():
        assert time.monotonic() < deadline, ended
        time.sleep(0.02)
    assert portal_server.process is not None
    os.killpg(portal_server.process.pid, signal.SIGKILL)
    portal_server.process.wait()
    claiming.join()
    assert isinstance(ended[0], requests.RequestException)

    sealing.start().settle()
    version = key.versions.get()
    assert (version.state, version.digest) == ("pre-activation", None)
    assert report_unfinished_intents() == 1
    assert report_unfinished_intents() == 0
    sealing.settle()
    react()
    told = Notice.objects.filter(kind="intent.unfinished").values_list("person__name", flat=True)
    assert sorted(told) == ["Admin", "Admin2", "Responder"]

    portal_server.ensure_running()
    alice.browser.cookies.clear()  # the step-up gave the session a new key, and the answer with it was lost
    alice.get("/sign-in/")
    alice.post("/sign-in/", {"email": world.alice.email, "password": PASSWORD})
    alice.post("/sign-in/second-factor/", {"code": alice.code()})
    alice.get(place)
    alice.post(place, {"version": "1", "code": alice.code()})
    assert SECRET.search(alice.page), words_of(alice.page)


def test_a_page_says_why_nothing_is_handed_over_and_programs_read_it_too(
    portal_server: PortalServer, sealing: SealingThread, world: World
) -> None:
    key = approved(world)
    alice = Traveller(portal_server, world.alice).takes_place()
    place = f"/keys/{key.number}/claim/"
    alice.get(place)
    sealing.stop()
    alice.post(place, {"version": "1", "code": alice.code()}, 503)
    assert "Granting is paused" in alice.page
    assert "Your claim is not spent" in alice.page
    answer = alice.browser.post(
        f"{portal_server.url}/api/v1/versions/{key.versions.get().pk}/claim",
        json={},
        headers={"X-CSRFToken": alice.browser.cookies["csrf"], "Referer": portal_server.url},
        timeout=30,
    )
    assert (answer.status_code, answer.headers["Content-Type"]) == (503, "application/problem+json")
    assert answer.json()["type"] == "urn:keystead:problem:audit_unsealed"
    assert int(answer.headers["Retry-After"]) > 0
    sealing.start()
    alice.get(place)
    alice.post(place, {"version": "1", "code": alice.code()})
    assert SECRET.search(alice.page)
