"""Decide through the pages: signed by a passkey, or confirmed with a code; never about one's own."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from django.conf import settings
from django.test import Client

from audit import clock
from audit.models import AuditEvent
from keys.approvals.drafting import Draft
from keys.events import PasskeyEnrolled
from keys.models import Approval, KeyRequest, ManagedKey, Passkey, Person
from keys.operations import insert
from keys.people.webauthn import read_registration
from tests.authenticator import SoftAuthenticator, text
from tests.fetching import let_clients_fetch
from tests.people import SYSTEM, World, submitted

pytestmark = pytest.mark.django_db
Browser = Callable[..., Client]


def passkey_of(person: Person) -> SoftAuthenticator:
    """Enrol a passkey for somebody, as if it had been there for long."""
    device = SoftAuthenticator(origin=settings.OTP_WEBAUTHN_ALLOWED_ORIGINS[0], rp_id=settings.OTP_WEBAUTHN_RP_ID)
    made = read_registration(device.create({"challenge": text(b"c" * 32)}), b"c" * 32)
    row = Passkey(
        user=person,
        name="laptop",
        confirmed=True,
        created_at=clock.now(),
        approves_from=clock.now(),
        credential_id=made.credential_id,
        public_key=made.public_key,
        sign_count=0,
        transports=["internal"],
    )
    insert(row, PasskeyEnrolled, actor=SYSTEM, at=row.created_at, person=str(person.pk))
    return device


def decision(request: KeyRequest, kind: str, **changes: object) -> dict[str, object]:
    content = request.content
    return {
        "decision": kind,
        "digest": request.digest,
        "comment": "",
        "scopes": content["scopes"],
        "networks": "\n".join(content["networks"]),
        "cryptoperiod_days": content["cryptoperiod_days"],
        "authorised_days": content["authorised_days"],
    } | changes


def sign(browser: Client, request: KeyRequest, device: SoftAuthenticator, form: dict[str, object]) -> object:
    """Do what the page's script does: fetch the statement, let the passkey sign it, send the form."""
    offered = browser.post(f"/requests/{request.number}/statement/", form)
    assert offered.status_code == 200, offered.content
    offer = offered.json()
    signed = form | offer["fields"] | {"assertion": device.get(offer["publicKey"])}
    return browser.post(f"/requests/{request.number}/decide/", signed)


@pytest.mark.parametrize("kind", ["approve", "narrow", "return", "deny"])
def test_a_passkey_signs_each_kind_of_decision(world: World, as_: Browser, kind: str) -> None:
    request = submitted(world, scopes=("orders:read", "orders:write"))
    device, bob = passkey_of(world.bob), as_("bob")
    changes: dict[str, object] = {"scopes": ["orders:read"]} if kind == "narrow" else {}
    answer = sign(bob, request, device, decision(request, kind, comment="Because of this.", **changes))
    assert answer.status_code == 302, answer.content.decode()
    approval = Approval.objects.get(person=world.bob)
    request.refresh_from_db()
    assert (approval.decision, approval.method, approval.digest) == (kind, "passkey", request.digest)
    assert json.loads(approval.statement)["content_digest"]["hex"] == request.digest
    assert approval.assertion is not None
    expected = {"approve": "pending", "narrow": "pending", "return": "returned", "deny": "denied"}
    assert request.state == expected[kind]


def test_a_signature_serves_once_and_for_its_own_decision(world: World, as_: Browser) -> None:
    request = submitted(world)
    device, bob = passkey_of(world.bob), as_("bob")
    form = decision(request, "approve")
    offer = bob.post(f"/requests/{request.number}/statement/", form).json()
    signed = form | offer["fields"] | {"assertion": device.get(offer["publicKey"])}
    swapped = bob.post(
        f"/requests/{request.number}/decide/", signed | {"decision": "deny", "comment": "No, thank you."}
    )
    assert swapped.status_code == 409
    assert not Approval.objects.exists()
    again = bob.post(f"/requests/{request.number}/decide/", signed)
    assert again.status_code == 302
    twice = bob.post(f"/requests/{request.number}/decide/", signed)
    assert twice.status_code == 403
    assert Approval.objects.count() == 1


def test_a_code_is_recorded_as_weaker(world: World, as_: Browser) -> None:
    request = submitted(world)
    answer = as_("bob", "approve").post(
        f"/requests/{request.number}/decide/", decision(request, "approve"), follow=True
    )
    assert "confirmed with a code from an app, not signed" in answer.content.decode()
    assert Approval.objects.get().method == "totp"


def test_without_presence_the_page_comes_back_with_what_was_typed(world: World, as_: Browser) -> None:
    request = submitted(world)
    answer = as_("bob").post(
        f"/requests/{request.number}/decide/", decision(request, "deny", comment="Use the feed <b>", code="000000")
    )
    assert answer.status_code == 422
    assert "Use the feed &lt;b&gt;" in answer.content.decode()
    assert 'tabindex="-1" data-error-summary>' in answer.content.decode(), "it has the focus, far down the page"
    assert not Approval.objects.exists()


@pytest.mark.parametrize("kind", ["return", "deny"])
def test_asking_back_and_denying_need_words(world: World, as_: Browser, kind: str) -> None:
    request = submitted(world)
    answer = as_("bob", "approve").post(f"/requests/{request.number}/decide/", decision(request, kind))
    assert answer.status_code == 422
    assert "Confirm with your second factor" not in answer.content.decode()
    unconfirmed = as_("bob").post(f"/requests/{request.number}/decide/", decision(request, kind))
    assert "Confirm with your second factor" in unconfirmed.content.decode(), "both are told at once"
    assert not Approval.objects.exists()


@pytest.mark.parametrize(
    "changes",
    [{"scopes": ["orders:write"]}, {"cryptoperiod_days": "31"}, {"authorised_days": "181"}, {"scopes": []}, {}],
)
def test_narrowing_only_takes_away(world: World, as_: Browser, changes: dict[str, object]) -> None:
    request = submitted(world)
    bob = as_("bob", "approve")
    answer = bob.post(f"/requests/{request.number}/decide/", decision(request, "narrow", **changes))
    assert answer.status_code == 422
    told = bob.post(f"/requests/{request.number}/statement/", decision(request, "narrow", **changes))
    assert (told.status_code, bool(told.json()["words"])) == (422, True)
    request.refresh_from_db()
    assert (request.revision, Approval.objects.count()) == (1, 0)


def test_an_approver_lets_a_person_claim_instead_of_the_client(world: World, as_: Browser) -> None:
    let_clients_fetch(world)
    request, plain = submitted(world, self_fetch=True, networks=("10.0.0.0/8",)), submitted(world)
    bob = as_("bob", "approve")
    assert 'name="without_self_fetch"' in bob.get(f"/requests/{request.number}/").content.decode()
    assert 'name="without_self_fetch"' not in bob.get(f"/requests/{plain.number}/").content.decode()
    form = decision(request, "narrow", without_self_fetch="on")
    assert bob.post(f"/requests/{request.number}/decide/", form).status_code == 302
    request.refresh_from_db()
    assert (request.content["self_fetch"], request.revision) == (False, 2)
    assert (
        bob.post(f"/requests/{plain.number}/decide/", decision(plain, "narrow", without_self_fetch="on")).status_code
        == 422
    )


def test_a_decision_about_content_that_changed_meanwhile_changes_nothing(world: World, as_: Browser) -> None:
    from keys.approvals.submission import edit_request
    from tests.people import acting, draft

    request = submitted(world)
    form = decision(request, "approve", comment="Fine by me.")
    edit_request(request, draft(world, scopes=("orders:write",)), actor=acting(world.alice))
    bob = as_("bob", "approve")
    answer = bob.post(f"/requests/{request.number}/decide/", form)
    page = answer.content.decode()
    assert answer.status_code == 409
    assert "The request was changed after you opened it." in page
    assert "Fine by me." in page
    assert bob.post(f"/requests/{request.number}/statement/", form).status_code == 409
    assert not Approval.objects.exists()


def test_the_last_approval_makes_the_key_and_the_page_says_so(world: World, as_: Browser) -> None:
    request = submitted(world)
    for who in ("bob", "carol"):
        answer = as_(who, "approve").post(
            f"/requests/{request.number}/decide/", decision(request, "approve"), follow=True
        )
    assert "the key exists" in answer.content.decode()
    assert ManagedKey.objects.get().request == request


def test_on_ones_own_request_there_is_no_button_but_a_reason(world: World, as_: Browser) -> None:
    own = Draft(
        service="orders", environment="prod", owner_team="orders", name="Own", consumer="gateway",
        purpose="Watch the gateway itself.", cryptoperiod_days=30, authorised_days=30, scopes=("orders:read",),
    )  # fmt: skip
    from keys.approvals.submission import submit_request
    from tests.people import acting

    request = submit_request(own, actor=acting(world.bob))
    page = as_("bob").get(f"/requests/{request.number}/").content.decode()
    assert "You asked for this key yourself, so somebody else has to decide about it." in page
    assert 'id="decide"' not in page
    answer = as_("bob", "approve").post(f"/requests/{request.number}/decide/", decision(request, "approve"))
    assert answer.status_code == 403
    assert AuditEvent.objects.filter(action="access.denied").count() == 1


def test_the_inbox_puts_the_riskiest_first_and_the_navigation_counts(world: World, as_: Browser) -> None:
    mild = submitted(world, environment="test", name="Mild")
    read = submitted(world, name="Reads")
    write = submitted(world, name="Writes", scopes=("orders:write",))
    page = as_("bob").get("/inbox/")
    assert [each.request.pk for each in page.context["waiting"]] == [write.pk, read.pk, mild.pk]
    assert '<span class="count">3' in page.content.decode()
    assert [each.request.pk for each in as_("carol").get("/inbox/").context["waiting"]] == [write.pk, read.pk]
    assert as_("alice").get("/inbox/").context["waiting"] == []


def test_a_request_shows_its_risks_difference_and_quorum(world: World, as_: Browser) -> None:
    from tests.people import issued

    issued(world, name="Held already")
    request = submitted(world, scopes=("orders:read", "orders:write"), authorised_days=200)
    page = as_("bob").get(f"/requests/{request.number}/")
    text = page.content.decode()
    assert "It can change things in production: orders:write." in text
    assert "Authorised for 200 days, which is more than 90." in text
    assert "Held now: Held already" in text
    scopes = page.context["dossier"].held_changes[0]
    assert (scopes.kept, scopes.added, scopes.removed) == (["orders:read"], ["orders:write"], [])
    assert "One more, from the service&#x27;s own team" in text
    assert request.digest[:8] in text


def test_the_canonical_content_can_be_checked_against_the_digest(world: World, as_: Browser) -> None:
    import hashlib

    request = submitted(world, name="Zürich \u2014 report")
    answer = as_("bob").get(f"/requests/{request.number}/content.json")
    assert hashlib.sha256(answer.content).hexdigest() == request.digest
