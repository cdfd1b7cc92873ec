"""Whoever is refused leaves one line in the log, whether the page, the operation or the address refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from audit.models import AuditEvent
from keys.approvals.decisions import approve_request
from keys.models import Approval
from tests.people import World, acting, approved, issued, submitted
from tests.portal.web.test_deciding import decision, passkey_of, sign

pytestmark = pytest.mark.django_db
Browser = Callable[..., Client]
ACTS = {
    "suspend": ("suspend_key", {"reason": "investigation"}),
    "reinstate": ("reinstate_key", {}),
    "revoke": ("revoke_key", {"reason": "superseded"}),
    "claim": ("intend_claim", {"version": "1"}),
    "replace": ("issue_new_version", {}),
    "hand-over": ("offer_transfer", {"to_team": "wallets", "comment": ""}),
}


def denials() -> list[dict[str, object]]:
    rows = AuditEvent.objects.filter(action="access.denied").order_by("id")
    return [{**row.envelope()["details"], "target": row.target_id, "reason": row.envelope()["reason"]} for row in rows]


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("stepped_up", [True, False])
def test_who_sees_a_key_and_may_not_act_on_it_leaves_one_denial(
    world: World, as_: Browser, act: str, stepped_up: bool
) -> None:
    key, _, _ = issued(world)
    operation, form = ACTS[act]
    purpose = {"hand-over": "handover", "replace": "claim"}.get(act, act)
    browser = as_("auditor", *([purpose] if stepped_up else []))
    answer = browser.post(f"/keys/{key.number}/{act}/", form | {"phrase": str(key)})
    assert answer.status_code == 403
    (denied,) = denials()
    assert (denied["operation"], denied["subject"], denied["target"]) == (operation, "managedkey", str(key.pk))
    browser.get(f"/keys/{key.number}/{act}/")
    assert len(denials()) == 2, "a page that is refused is a refusal as well"


@pytest.mark.parametrize("act", [*ACTS, "leak", "renew"])
def test_a_stranger_who_acts_on_a_key_they_cannot_see_leaves_one_denial(world: World, as_: Browser, act: str) -> None:
    key, _, _ = issued(world)
    mallory = as_("mallory", "suspend", "reinstate", "revoke", "claim", "handover")
    assert mallory.get(f"/keys/{key.number}/{act}/").status_code in {404, 405}
    assert denials() == []
    assert mallory.post(f"/keys/{key.number}/{act}/", {"reason": "superseded"}).status_code == 404
    (denied,) = denials()
    assert (denied["reason"], denied["target"]) == ("not_found", str(key.number))


@pytest.mark.parametrize("who", ["bob", "anna", "admin"])
def test_who_edits_the_request_of_another_leaves_one_denial(world: World, as_: Browser, who: str) -> None:
    request = submitted(world)
    assert as_(who).post(f"/requests/{request.number}/edit/", {"name": "Mine now"}).status_code == 403
    (denied,) = denials()
    assert (denied["operation"], denied["target"]) == ("edit_request", str(request.pk))


@pytest.mark.parametrize("act", ["edit", "decide", "statement", "withdraw", "nudge"])
def test_a_stranger_to_a_request_leaves_one_denial(world: World, as_: Browser, act: str) -> None:
    request = submitted(world)
    answer = as_("mallory", "approve").post(f"/requests/{request.number}/{act}/", decision(request, "approve"))
    assert answer.status_code == 404
    assert len(denials()) == 1


@pytest.mark.parametrize("who", ["alice", "anna", "admin"])
@pytest.mark.parametrize("form", [{}, {"code": "000000"}, {"digest": "x"}, {"assertion": "{}", "nonce": "x"}])
def test_who_may_not_decide_is_refused_before_anything_is_asked_of_them(
    world: World, as_: Browser, who: str, form: dict[str, object]
) -> None:
    request = submitted(world)
    answer = as_(who).post(f"/requests/{request.number}/decide/", decision(request, "deny") | form)
    assert answer.status_code == 403
    (denied,) = denials()
    assert (denied["operation"], denied["target"]) == ("deny_request", str(request.pk))
    assert not AuditEvent.objects.filter(action="second-factor.refused").exists()


def test_who_decided_already_is_refused_before_the_second_factor_is_asked_for(world: World, as_: Browser) -> None:
    request = submitted(world)
    approve_request(request, digest=request.digest, actor=acting(world.bob, "approve"))
    assert as_("bob").post(f"/requests/{request.number}/decide/", decision(request, "approve")).status_code == 403
    assert [each["operation"] for each in denials()] == ["approve_request"]


@pytest.mark.parametrize(
    "nonce", ["", "x", "a" * 42, "a" * 44, "a" * 42 + "=", "\u00e4" * 43, "a" * 42 + "\n", "a" * 43]
)
def test_an_odd_nonce_is_no_statement_and_no_server_error(world: World, as_: Browser, nonce: str) -> None:
    request = submitted(world)
    device, bob = passkey_of(world.bob), as_("bob")
    form = decision(request, "approve")
    offer = bob.post(f"/requests/{request.number}/statement/", form).json()
    signed = form | {"nonce": nonce, "assertion": device.get(offer["publicKey"])}
    assert bob.post(f"/requests/{request.number}/decide/", signed).status_code == 422
    assert bob.post(f"/requests/{request.number}/decide/", signed | {"nonce": "a\0" * 21 + "a"}).status_code == 400
    assert not Approval.objects.exists()
    assert sign(bob, request, device, form).status_code == 302  # type: ignore[attr-defined]


def test_who_may_act_leaves_no_denial(world: World, as_: Browser) -> None:
    key = approved(world)
    browser = as_("alice", "claim", "revoke")
    browser.get(f"/keys/{key.number}/claim/")
    browser.post(f"/keys/{key.number}/claim/", {"version": "1"})
    browser.post(f"/keys/{key.number}/revoke/", {"reason": "superseded", "phrase": str(key)})
    assert denials() == []
