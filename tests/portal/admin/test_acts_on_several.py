"""Acts on several rows at once: a look before, exactly what was shown, and a receipt after."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from keys.models import KeyVersion
from keys.states import VersionState
from tests.people import issued, submitted
from tests.portal.admin.rows import saved_template, seat_as_approver
from tests.portal.doorway import events, hidden, signed_in

pytestmark = pytest.mark.django_db


def _choose(client: Any, model: str, act: str, rows: list[Any]) -> Any:
    address = reverse(f"admin:keys_{model}_changelist")
    return client.post(address, {"action": act, "_selected_action": [str(row.pk) for row in rows], "index": "0"})


def _confirm(client: Any, model: str, act: str, page: Any, **typed: Any) -> Any:
    address = reverse(f"admin:keys_{model}_bulk", args=[act])
    return client.post(address, {"seen": hidden(page, "seen"), **typed})


def test_several_keys_are_revoked_with_a_look_before_and_a_receipt_after(world):
    keys = [issued(world)[0], issued(world, environment="test")[0]]
    client = signed_in(world.admin, "revoke")
    page = _choose(client, "managedkey", "revoke", keys)
    assert page.status_code == 200
    assert all(str(key) in page.content.decode() for key in keys)
    assert not events(action="key.revoked")
    wrong = _confirm(client, "managedkey", "revoke", page, reason="superseded", phrase="revoke 3 keys")
    assert wrong.status_code == 422
    assert not events(action="key.revoked")
    receipt = _confirm(client, "managedkey", "revoke", page, reason="superseded", phrase="revoke 2 keys")
    assert "2 of 2 done." in receipt.content.decode()
    assert {event.target_id for event in events(action="key.revoked", actor_id=str(world.admin.pk))} == {
        str(key.pk) for key in keys
    }
    assert not KeyVersion.objects.filter(state=VersionState.ACTIVE).exists()
    again = _confirm(client, "managedkey", "revoke", page, reason="superseded", phrase="revoke 2 keys")
    assert "0 of 2 done." in again.content.decode()
    assert "This key was revoked already." in again.content.decode()


def test_a_choice_cannot_be_swapped_under_the_page(world):
    key, other = issued(world)[0], issued(world, environment="test")[0]
    client = signed_in(world.admin, "*")
    page = _choose(client, "managedkey", "suspend", [key])
    forged = client.post(
        reverse("admin:keys_managedkey_bulk", args=["revoke"]),
        {"seen": hidden(page, "seen"), "reason": "superseded", "phrase": str(key), "_selected_action": str(other.pk)},
        follow=True,
    )
    assert "This page was open for too long" in forged.content.decode()
    assert not events(action="key.revoked")


def test_requests_that_are_not_alike_are_not_approved_at_once(world):
    first, second = submitted(world), submitted(world, environment="test")
    client = signed_in(world.admin, "approve")
    answer = _choose(client, "keyrequest", "approve", [first, second])
    assert answer.status_code == 302
    assert "read all others one by one" in client.get(answer["location"]).content.decode()


def test_an_administrator_who_is_no_approver_is_told_so_and_refused(world):
    request = submitted(world)
    client = signed_in(world.admin, "approve")
    page = _choose(client, "keyrequest", "approve", [request])
    assert "You are not an approver of this service" in page.content.decode()
    receipt = _confirm(client, "keyrequest", "approve", page)
    assert "0 of 1 done." in receipt.content.decode()
    request.refresh_from_db()
    assert request.state == "pending"


def test_an_administrator_who_is_an_approver_approves_exactly_what_was_shown(world):
    seat_as_approver(world)
    template = saved_template(world)
    requests = [submitted(world, template=template.name, name=name) for name in ("One report", "Two reports")]
    client = signed_in(world.admin, "approve")
    page = _choose(client, "keyrequest", "approve", requests)
    receipt = _confirm(client, "keyrequest", "approve", page, comment="Alike.")
    assert "2 of 2 done." in receipt.content.decode()
    given = events(action="approval.given", actor_id=str(world.admin.pk))
    assert {event.envelope()["change"]["digest"][1] for event in given} == {request.digest for request in requests}
