"""Those who answer for the whole see verifiers and receipts; whoever sees a key sees its receipts; nobody else finds the page."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from keys.models import Verifier
from keys.states import RevocationReason
from tests.keys.verification.following import following
from tests.people import issued
from tests.portal.doorway import signed_in

pytestmark = pytest.mark.usefixtures("sealing")


def test_the_page_tells_of_leases_and_receipts(world):
    client = signed_in(world.admin)
    empty = client.get(reverse("verifiers")).content.decode()
    assert "Nobody holds keys in memory" in empty
    assert "Nothing was stopped yet" in empty
    feed = following("rack-7:4711")
    key = issued(world)[0]
    feed.tick()
    Verifier.objects.filter(pk=feed.holder.id).update(valid_until="2026-01-01T00:00Z", terms={})  # nobody waits for it
    following("rack-8:4712").stop()
    signed_in(world.alice, "revoke").post(
        reverse("revoke", args=[key.number]), {"reason": str(RevocationReason.SUPERSEDED), "phrase": str(key)}
    )
    page = client.get(reverse("verifiers")).content.decode()
    assert "rack-8:4712" in page
    assert "Nightly report" in page
    assert str(feed.holder.id) not in page
    own = signed_in(world.alice).get(reverse("key", args=[key.number])).content.decode()
    assert "Receipts of its stops" in own
    assert "by the minute, as of its beginning" in own
    assert "revoked" in own


def test_the_page_does_not_say_of_a_program_that_nobody_wakes_it(world):
    """Whether it listens to the feed is not known here; a door without Valkey really is alone."""
    key, feed = issued(world)[0], following("rack-7:4711")
    feed.tick()
    holder = Verifier.objects.filter(pk=feed.holder.id)
    holder.update(hears=False)
    client = signed_in(world.admin)
    assert "looks by itself" in client.get(reverse("verifiers")).content.decode()
    holder.update(service=key.service, environment=key.environment)
    page = client.get(reverse("verifiers")).content.decode()
    assert "by the feed, if it listens" in page
    assert "looks by itself" not in page


@pytest.mark.parametrize("who", ["alice", "bob", "mallory"])
def test_nobody_else_finds_the_page(world, who):
    assert signed_in(getattr(world, who), "*").get(reverse("verifiers")).status_code in (403, 404)


def test_a_stranger_is_sent_to_sign_in(world):
    assert Client().get(reverse("verifiers")).status_code == 302
