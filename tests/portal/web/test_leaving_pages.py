"""A person leaves: what they had to do with is listed until nothing they knew works, and somebody else receives it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from audit import clock
from audit.models import AuditEvent
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.leaving import left_by
from keys.lifecycle.revocation import revoke_key
from keys.models import ManagedKey, Rotation, Session
from keys.people.roles import deactivate_person
from keys.people.teams import add_member
from keys.states import RevocationReason
from tests.people import SYSTEM, World, acting, approved, issued

pytestmark = pytest.mark.django_db
Browser = Callable[..., Client]


def left(world: World) -> set[int]:
    rows = left_by(ManagedKey.objects.all(), world.alice.pk, at=clock.now())
    return set(rows.values_list("number", flat=True))


def test_the_plan_is_done_when_nothing_they_knew_works(world: World, as_: Browser) -> None:
    known, waiting, other = issued(world)[0], approved(world, name="Waits"), issued(world, name="Other")[0]
    add_member(world.reporting, person=world.admin2, roles=["lead", "developer"], actor=SYSTEM)
    alice = as_("alice")
    assert alice.get("/").status_code == 200
    deactivate_person(world.alice, actor=acting(world.admin, "people"))
    assert alice.get("/").status_code == 302
    assert not Session.objects.filter(person=world.alice).exists()
    lead = as_("admin2", "handover", "revoke")
    plan = f"/people/{world.alice.pk}/left/"
    assert plan in lead.get("/team/reporting/").content.decode()
    page = lead.get(plan).content.decode()
    assert all(str(key) in page for key in (known, waiting, other))
    assert left(world) == {known.number, waiting.number, other.number}
    anna = {"recipient": str(world.anna.pk)}
    assert lead.post(f"/keys/{known.number}/recipient/", anna | {"rotate": "on"}).status_code == 302
    assert lead.post(f"/keys/{waiting.number}/recipient/", anna).status_code == 302
    revoke_key(other, actor=acting(world.admin, "revoke"), reason=RevocationReason.AFFILIATION_CHANGED)
    assert left(world) == {known.number}  # its secret still works
    assert Rotation.objects.open().get(managed_key=known).cause == "leaver"
    with pytest.raises(Exception, match="not_the_recipient"):
        claim_secret(known.versions.get(state="pre-activation"), actor=acting(world.admin2, "claim"))
    claim = claim_secret(known.versions.get(state="pre-activation"), actor=acting(world.anna, "claim"))
    assert claim.secret is not None
    old = known.versions.get(sequence=1)
    assert old.retire_at is not None
    assert not left_by(ManagedKey.objects.all(), world.alice.pk, at=old.retire_at).exists()
    told = AuditEvent.objects.filter(action="key.recipient-changed").first()
    assert told is not None
    assert told.envelope()["change"] == {"recipient_id": [str(world.alice.pk), str(world.anna.pk)]}


@pytest.mark.parametrize(("who", "status"), [("anna", 403), ("bob", 403), ("responder", 403), ("mallory", 404)])
def test_only_leads_and_administrators_name_another(world: World, as_: Browser, who: str, status: int) -> None:
    key = issued(world)[0]
    browser = as_(who, "handover")
    assert browser.get(f"/keys/{key.number}/recipient/").status_code == status
    assert browser.post(f"/keys/{key.number}/recipient/", {"recipient": str(world.anna.pk)}).status_code == status
    key.refresh_from_db()
    assert key.recipient_id == world.alice.pk


@pytest.mark.parametrize("chosen", ["bob", "alice", "nobody"])
def test_the_recipient_is_another_member_of_the_owner_team(world: World, as_: Browser, chosen: str) -> None:
    key = issued(world)[0]
    recipient = str(getattr(world, chosen).pk) if hasattr(world, chosen) else "x"
    answer = as_("admin", "handover").post(f"/keys/{key.number}/recipient/", {"recipient": recipient})
    assert answer.status_code == 422
    unproven = as_("alice").post(f"/keys/{key.number}/recipient/", {"recipient": str(world.anna.pk), "code": "000000"})
    assert unproven.status_code == 422


def test_plans_are_for_leads_and_those_who_answer_for_all(world: World, as_: Browser) -> None:
    key = issued(world)[0]
    plan = f"/people/{world.alice.pk}/left/"
    assert as_("anna").get(plan).status_code == 404
    assert str(key) in as_("responder").get(plan).content.decode()
    stranger = as_("mallory").get(plan).content.decode()
    assert "Nothing is left in your teams" in stranger
    assert as_("admin").get("/people/00000000-0000-4000-8000-000000000000/left/").status_code == 404
