"""From the invitation to the revocation in Chromium, with passkeys that sign approvals; every page clean on the way."""

from __future__ import annotations

import json

import pytest
import requests
from playwright.sync_api import Browser, expect

from audit.models import AuditEvent
from keys.models import Approval, KeyRequest, ManagedKey, Person
from tests.accounts import PASSWORD
from tests.journeys.travel import SECRET, actions_since, link_for, path_of
from tests.people import World, verifying_credential
from tests.portal.browser import WIDE, Visit
from tests.servers import PortalServer

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("sealing")]


class Guest:
    """A person at a Chromium of their own, with a passkey in it."""

    def __init__(self, browser: Browser, server: PortalServer, person: Person) -> None:
        self.person, self.url = person, server.url
        context = browser.new_context(viewport=WIDE, reduced_motion="reduce")  # type: ignore[arg-type]
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.visit = Visit(context)
        self.page = self.visit.page
        self.visit.add_virtual_passkey()

    def opens(self, path: str) -> None:
        """Open a page and let axe look at it."""
        self.page.goto(self.url + path)
        self.looks()

    def looks(self, *, again: bool = False) -> None:
        """Nothing on the page that opens, or changed since it was looked at, may fail a rule of axe."""
        assert self.visit.findings(after_click=not again) == [], self.page.url

    def presses(self, name: str) -> None:
        """Press a button, by its words."""
        self.page.get_by_role("button", name=name, exact=True).click()

    def takes_place(self, home: str = "My keys") -> Guest:
        """Follow the invitation: a password, a passkey, the recovery codes; `home` is the page that opens then."""
        self.opens(path_of(link_for(self.person)))
        self.page.get_by_label("New password").fill(PASSWORD)
        self.page.get_by_label("The same once more").fill(PASSWORD)
        self.presses("Continue")
        self.looks()
        self.presses("Create a passkey")
        expect(self.page.get_by_role("heading", name="Keep these codes somewhere safe")).to_be_visible()
        self.looks()
        self.page.get_by_role("link", name="I have stored them").click()
        expect(self.page.get_by_role("heading", name=home, exact=True)).to_be_visible()
        return self

    def leaves(self) -> None:
        """At the end nothing broke the policy or a script."""
        assert self.visit.violations == []
        assert [words for words in self.visit.mistakes if "Failed to load resource" not in words] == []
        self.visit.context.close()


def test_the_main_job_in_a_browser(
    chromium: Browser,
    portal_server: PortalServer,
    world: World,
) -> None:
    credential = verifying_credential(world).reveal()
    start = AuditEvent.objects.latest("id").pk

    def is_valid(secret: str) -> bool:
        answer = requests.post(
            f"{portal_server.url}/v1/verify",
            json={"key": secret},
            headers={"Authorization": f"Bearer {credential}"},
            timeout=30,
        )
        return bool(answer.json()["valid"])

    alice = Guest(chromium, portal_server, world.alice).takes_place()
    bob = Guest(chromium, portal_server, world.bob).takes_place()
    carol = Guest(chromium, portal_server, world.carol).takes_place()

    # Alice asks.
    alice.looks()
    alice.page.get_by_role("link", name="Request a key").first.click()
    alice.looks()
    alice.page.get_by_text("Places orders.").click()
    alice.page.get_by_role("radio", name="Production").check()
    alice.presses("Continue")
    alice.looks()
    alice.page.get_by_role("checkbox", name="orders:read").check()
    alice.page.get_by_role("checkbox", name="orders:write").check()
    alice.page.get_by_label("Name of the key").fill("Nightly report")
    alice.page.get_by_label("What it is for").fill("Build the nightly settlement report.")
    alice.presses("Send for approval")
    alice.looks()
    expect(alice.page.get_by_role("link", name="Consumer: This field is required.")).to_be_visible()
    expect(alice.page.get_by_label("Name of the key")).to_have_value("Nightly report")
    alice.page.get_by_label("Consumer").fill("report-builder")
    alice.presses("Send for approval")
    expect(alice.page.get_by_role("heading", name="Nightly report")).to_be_visible()
    alice.looks()
    request = KeyRequest.objects.get()

    # Bob finds it in his inbox, reads it and signs less; Carol signs what is left.
    bob.opens("/inbox/")
    bob.page.get_by_role("link", name="Nightly report").click()
    bob.looks()
    expect(bob.page.get_by_label("Scopes that stay")).to_be_hidden()
    bob.page.get_by_role("radio", name="Approve less").check()
    bob.presses("Sign with your passkey")
    expect(bob.page.get_by_text("Nothing was taken away.")).to_be_visible()
    bob.page.locator("#decide").get_by_role("checkbox", name="orders:write").uncheck()
    bob.page.get_by_label("Words for the requester").fill("Reading is enough.")
    bob.looks(again=True)
    bob.presses("Sign with your passkey")
    expect(bob.page.get_by_text("Narrowed and approved.")).to_be_visible()
    bob.looks()
    carol.opens(f"/requests/{request.number}/")
    carol.presses("Sign with your passkey")
    expect(carol.page.get_by_text("the key exists")).to_be_visible()
    carol.looks()

    # Alice claims: copied without being shown, and gone when she goes back.
    key = ManagedKey.objects.get(request=request)
    alice.opens("/")
    alice.page.locator(f"a[href='/keys/{key.number}/claim/']").click()
    alice.looks()
    alice.presses("Confirm with a passkey and send")
    expect(alice.page.get_by_role("heading", name="Your new key")).to_be_visible()
    alice.looks()
    expect(alice.page.locator("#new-secret")).to_be_hidden()
    alice.page.locator(".secret [data-copy]").click()
    expect(alice.page.locator(".secret [data-copy-label]")).to_have_text("Copied")
    secret = str(alice.page.evaluate("navigator.clipboard.readText()"))
    assert SECRET.fullmatch(secret)
    assert is_valid(secret)
    alice.page.get_by_role("link", name="I stored it").click()
    alice.looks()
    assert secret not in alice.page.content()
    for view in ("use", "life"):
        alice.opens(f"/keys/{key.number}/?view={view}")

    # Alice revokes it herself, with a reason, the typed word and her passkey.
    alice.opens(f"/keys/{key.number}/revoke/")
    alice.page.get_by_role("radio", name="Cessation of operation").check()
    alice.page.get_by_label(f"Type {key} to confirm").fill(str(key))
    alice.presses("Confirm with a passkey and send")
    expect(alice.page.get_by_text("Revoked for good", exact=True)).to_be_visible()
    alice.looks()
    assert not is_valid(secret)

    assert actions_since(start) == [
        "request.submitted",
        "request.narrowed",
        "approval.given",
        "approval.given",
        "request.approved",
        "key.created",
        "version.created",
        "version.claim-intended",
        "version.issued",
        "rotation.scheduled",
        "key.revoked",
        "version.deactivated",
        "rotation.aborted",
    ]
    approvals = Approval.objects.order_by("created_at")
    assert [(each.person, each.method) for each in approvals] == [(world.bob, "passkey"), (world.carol, "passkey")]
    request.refresh_from_db()
    for each in approvals:
        assert json.loads(each.statement)["content_digest"]["hex"] == request.digest
    for guest in (alice, bob, carol):
        guest.leaves()
