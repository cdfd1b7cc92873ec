"""Those who can do something about it see on every page that granting is paused; a page that grants says why it does not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client

from audit.checkpoints import Backlog
from tests.people import World, approved, issued

pytestmark = pytest.mark.django_db
Browser = Callable[..., Client]
BANNER = "Granting is paused: the audit log is not being sealed."


@pytest.fixture
def fall_behind(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    late = Backlog(waiting=1, age=timedelta(seconds=61))
    return lambda: monkeypatch.setattr("keys.operations.backlog", lambda: late)


@pytest.mark.parametrize(
    ("who", "is_told"), [("admin", True), ("responder", True), ("alice", False), ("auditor", False)]
)
def test_administrators_and_responders_are_told_on_every_page(
    as_: Browser, fall_behind: Callable[[], None], who: str, is_told: bool
) -> None:
    browser = as_(who)
    for path in ("/keys/", "/requests/"):
        assert BANNER not in browser.get(path).content.decode()
    fall_behind()
    for path in ("/keys/", "/requests/"):
        assert (BANNER in browser.get(path).content.decode()) == is_told


def test_a_claim_is_refused_with_a_page_and_a_revocation_is_not(
    world: World, as_: Browser, fall_behind: Callable[[], None]
) -> None:
    waiting, living = approved(world), issued(world, name="Living")[0]
    alice = as_("alice", "claim", "revoke")
    fall_behind()
    answer = alice.post(f"/keys/{waiting.number}/claim/", {"version": "1"})
    assert answer.status_code == 503
    assert "Stopping keys, signing in and verification work" in answer.content.decode()
    assert int(answer["Retry-After"]) > 0
    assert waiting.versions.get().claimed_at is None
    revoked = alice.post(f"/keys/{living.number}/revoke/", {"reason": "superseded", "phrase": str(living)})
    assert revoked.status_code == 302
    assert living.versions.get().state == "deactivated"
