"""Each way to a new secret in Chromium: asked for, due, lost, leaked, left by somebody; undone, ended early, ended by traffic."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import requests
from django.conf import settings
from playwright.sync_api import Browser, expect

from benchmarks.emergency.population import Owners, make_keys
from keys.models import ManagedKey, Person, Rotation
from keys.people.roles import deactivate_person
from keys.states import Overlap
from keys.tasks import rotate
from tests.journeys.chaos.owners import bring_forward
from tests.journeys.test_browser_journey import Guest
from tests.journeys.travel import SECRET
from tests.people import SYSTEM, World, acting, issued, verifying_credential
from tests.portal.web.signing_in import signed_in
from tests.servers import PortalServer

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("sealing")]


class Holder(Guest):
    """Somebody who rotates keys."""

    def confirms(self, words: str) -> None:
        """Send a form by its button, with a passkey where that is asked for."""
        passkey = self.page.get_by_role("button", name="Confirm with a passkey and send", exact=True)
        (passkey if passkey.count() else self.page.get_by_role("button", name=words, exact=True)).click()

    def follows(self, words: str) -> None:
        """Follow a link by its words."""
        self.page.get_by_role("link", name=words, exact=True).first.click()
        self.looks()

    def finds(self, heading: str) -> None:
        expect(self.page.get_by_role("heading", name=heading).first).to_be_visible()

    def claims(self, key: ManagedKey) -> str:
        """Claim on the page that is open, or on that of the key; the secret goes to the clipboard unseen."""
        if not self.page.url.endswith(f"/keys/{key.number}/claim/"):
            self.page.goto(f"{self.url}/keys/{key.number}/claim/")
        self.looks()
        self.confirms("Show me the secret")
        self.finds("Your new key")
        self.page.locator(".secret [data-copy]").click()
        expect(self.page.locator(".secret [data-copy-label]")).to_have_text("Copied")
        secret = str(self.page.evaluate("navigator.clipboard.readText()"))
        assert SECRET.fullmatch(secret)
        return secret

    @classmethod
    def signed_in(cls, browser: Browser, server: PortalServer, person: Person, *purposes: str) -> Holder:
        """Somebody who came in a moment ago and confirmed it for `purposes`."""
        holder = cls(browser, server, person)
        value = signed_in(person, *purposes).cookies[settings.SESSION_COOKIE_NAME].value
        holder.visit.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": value, "url": server.url}])
        return holder


@pytest.fixture
def is_valid(portal_server: PortalServer, world: World) -> Callable[[str], bool]:
    """Ask as the orders service does."""
    credential = verifying_credential(world).reveal()

    def ask(secret: str) -> bool:
        answer = requests.post(
            f"{portal_server.url}/v1/verify",
            json={"key": secret, "client": {"address": "10.20.0.5", "user_agent": "report-builder/2"}},
            headers={"Authorization": f"Bearer {credential}"},
            timeout=30,
        )
        return bool(answer.json()["valid"])

    return ask


def test_the_owner_replaces_secrets_in_every_way(
    chromium: Browser, portal_server: PortalServer, world: World, is_valid: Callable[[str], bool]
) -> None:
    key, _, secret = issued(world)
    first = secret.reveal()
    alice = Holder(chromium, portal_server, world.alice).takes_place()
    page, here = alice.page, f"/keys/{key.number}/"

    # On demand, with an overlap; and undone inside the window.
    alice.opens(here)
    alice.follows("Rotate")
    page.get_by_role("radio", name=re.compile("^6 hours")).check()
    alice.confirms("Rotate the key")
    alice.finds("Claim the secret of")
    second = alice.claims(key)
    assert (is_valid(first), is_valid(second)) == (True, True)
    alice.looks()
    alice.follows("Watch the old one end")
    expect(page.get_by_text("Old one is ending").first).to_be_visible()
    alice.follows("Undo")
    alice.confirms("Undo the rotation")
    expect(page.get_by_text("Undone. The old version works on.")).to_be_visible()
    alice.looks()
    assert (is_valid(first), is_valid(second)) == (True, False)

    # By schedule: the worker prepares it, the owner finds it waiting; the old one ends when the new one is used.
    bring_forward(key, overlap=Overlap.FIRST_USE, actor=SYSTEM)
    assert rotate() == 1
    alice.opens("/")
    page.locator(f"a[href='{here}claim/']").click()
    third = alice.claims(key)
    assert is_valid(first)
    alice.opens(f"{here}rotation/")
    expect(page.get_by_text("as soon as the new one is used")).to_be_visible()
    assert is_valid(third)
    assert rotate() + rotate() == 2  # its end, and that it has ended
    assert not is_valid(first)
    alice.opens(f"{here}rotation/")
    expect(page.get_by_text("Completed").first).to_be_visible()

    # Lost: another one, while the program that has it works on.
    alice.opens(here)
    alice.follows("Issue a new version")
    alice.confirms("Issue a new version")
    fourth = alice.claims(key)
    assert (is_valid(third), is_valid(fourth)) == (True, True)

    # Leaked: stopped at the press of a button, and replaced; neither of the two comes back.
    alice.opens(here)
    alice.presses("It leaked: stop it now")
    alice.finds("Thank you: it is stopped")
    alice.looks()
    assert (is_valid(third), is_valid(fourth)) == (False, False)
    alice.follows("Get a new version")
    alice.confirms("Issue a new version")
    fifth = alice.claims(key)
    assert [is_valid(each) for each in (first, second, third, fourth, fifth)] == [False, False, False, False, True]
    alice.opens(f"{here}rotation/")
    expect(page.get_by_text("the secret is known to others").first).to_be_visible()

    # What comes next stands in the calendar.
    alice.opens("/rotations/")
    expect(page.get_by_role("link", name=key.name)).to_be_visible()
    alice.leaves()


def test_leads_administrators_and_responders_end_what_others_knew(
    chromium: Browser, portal_server: PortalServer, world: World, is_valid: Callable[[str], bool]
) -> None:
    key, _, secret = issued(world)
    known, here = secret.reveal(), f"/keys/{key.number}/"
    deactivate_person(world.alice, actor=acting(world.admin, "people"))

    # Somebody left: an administrator names who receives the key, and has the secret replaced.
    admin = Holder.signed_in(chromium, portal_server, world.admin, "handover", "revoke")
    admin.opens(f"/people/{world.alice.pk}/left/")
    admin.follows("Name another")
    admin.page.get_by_label("Who claims its secrets from now on").select_option(label="Anna")
    admin.presses("Name them")
    expect(admin.page.get_by_text("They are told what waits for them.")).to_be_visible()
    anna = Holder.signed_in(chromium, portal_server, world.anna, "claim")
    anna.opens("/")
    fresh = anna.claims(key)
    assert (is_valid(known), is_valid(fresh)) == (True, True)

    # The administrator does not wait for the end of the old one.
    admin.opens(f"{here}rotation/")
    admin.follows("End the old one now or later")
    admin.page.get_by_role("radio", name="now", exact=True).check()
    admin.presses("Move the end")
    expect(admin.page.get_by_text("The end of the old version was moved.")).to_be_visible()
    admin.looks()
    assert (is_valid(known), is_valid(fresh)) == (False, True)
    rotate()
    admin.opens(f"/people/{world.alice.pk}/left/")
    admin.finds("Nothing they knew still works")
    admin.opens("/rotations/")

    # An emergency: everything of the team at once, by list, typed words and receipt.
    owners = Owners(team=world.reporting, recipient=world.anna, service=world.orders, scopes=("orders:read",))
    ((another, its_secret),) = make_keys(owners, count=1, actor=SYSTEM)
    responder = Holder.signed_in(chromium, portal_server, world.responder, "revoke")
    responder.opens("/emergency/?team=reporting")
    responder.page.get_by_role("radio", name=re.compile("Stop")).first.check()
    responder.page.get_by_label("Type 2 keys to confirm").fill("2 keys")
    responder.presses("Do it now")
    responder.finds("Stopped: 2")
    responder.looks()
    assert (is_valid(fresh), is_valid(its_secret)) == (False, False)
    assert ManagedKey.objects.get(pk=another.pk).revoked_at is not None
    assert set(Rotation.objects.filter(state="aborted").values_list("ended_reason", flat=True)) == {"key-revoked"}
    assert not Rotation.objects.open().filter(managed_key__in=[key, another]).exists()
    for guest in (admin, anna, responder):
        guest.leaves()
