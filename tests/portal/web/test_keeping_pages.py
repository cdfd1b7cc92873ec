"""Holds and periods in the browser: who may, who may not, and strangers; bad input is answered with words."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from audit.models import WITHOUT_END, AuditHold, AuditRetention
from audit.retention import Periods, periods_in_force
from keys.retention.holds import HeldSpan, place_hold
from keys.retention.periods import chosen, decide_periods, set_periods
from tests.people import acting
from tests.portal.doorway import events, hidden, signed_in

pytestmark = pytest.mark.django_db
WHY = "Letter of the court of 12 May"
PAGES = ("holds", "place_hold", "retention")
SET = {"answer": "set", "keep": "7-years", "private": "90-days", "reason": WHY, "base": "None/None"}


@pytest.mark.parametrize("who", ["auditor", "admin"])
@pytest.mark.parametrize("name", PAGES)
def test_readers_of_the_log_open_the_pages(world, who, name):
    assert signed_in(getattr(world, who)).get(reverse(name)).status_code == 200


@pytest.mark.parametrize("who", ["alice", "bob", "responder", "mallory"])
def test_for_everybody_else_there_are_no_such_pages(world, who):
    hold = place_hold(HeldSpan(), actor=acting(world.admin, "retention"), reason=WHY)
    client = signed_in(getattr(world, who), "*")
    addresses = [*map(reverse, PAGES), reverse("lift_hold", args=[hold.pk]), reverse("lift_hold", args=[999])]
    assert {client.get(address).status_code for address in addresses} == {404}
    assert client.post(reverse("place_hold"), {"reason": WHY}).status_code == 404
    assert client.post(reverse("lift_hold", args=[hold.pk]), {"phrase": str(hold)}).status_code == 404
    assert client.post(reverse("retention"), SET).status_code == 404
    assert (AuditHold.objects.count(), AuditRetention.objects.count()) == (1, 0)
    assert len(events(action="access.denied", actor_id=str(getattr(world, who).pk))) >= 6


def test_strangers_are_sent_to_sign_in(world):
    assert {Client().get(reverse(name)).status_code for name in PAGES} == {302}


def test_an_empty_list_says_what_holds_are_for(world):
    assert "Nothing is held" in signed_in(world.auditor).get(reverse("holds")).content.decode()


def test_a_hold_is_placed_and_lifted_by_two(world):
    auditor = signed_in(world.auditor, "retention")
    assert auditor.post(reverse("place_hold"), {"reason": WHY}).status_code == 302
    hold = AuditHold.objects.get()
    assert hold.upto_leaf == WITHOUT_END
    page = auditor.get(reverse("holds")).content.decode()
    assert "without an end" in page
    assert WHY in page
    assert world.auditor.name in page
    address = reverse("lift_hold", args=[hold.pk])
    assert "Only administrators" in auditor.get(address).content.decode()
    assert auditor.post(address, {"phrase": str(hold)}).status_code == 403
    admin = signed_in(world.admin, "retention")
    assert admin.post(address, {"phrase": "HOLD"}).status_code == 422
    assert admin.post(address, {"phrase": str(hold)}).status_code == 302
    hold.refresh_from_db()
    assert hold.lifted_by == f"person:{world.admin.pk}"
    assert admin.post(address, {"phrase": str(hold)}).status_code == 409


def test_whoever_placed_a_hold_does_not_lift_it(world):
    hold = place_hold(HeldSpan(), actor=acting(world.admin, "retention"), reason=WHY)
    client = signed_in(world.admin, "retention")
    address = reverse("lift_hold", args=[hold.pk])
    assert "another administrator has to lift it" in client.get(address).content.decode()
    assert client.post(address, {"phrase": str(hold)}).status_code == 403


@pytest.mark.parametrize(
    "given",
    [
        {}, {"reason": "short"}, {"reason": WHY, "since": "soon"}, {"reason": WHY, "from_leaf": "-1"},
        {"reason": WHY, "from_leaf": "5", "upto_leaf": "5"}, {"reason": WHY, "from_leaf": "1", "since": "2026-01-01"},
        {"reason": WHY, "since": "2026-01-02", "before": "2026-01-01"}, {"reason": "a\0b is no text"},
        {"reason": WHY, "upto_leaf": "9" * 30}, {"reason": WHY + "x" * 600},
    ],
)  # fmt: skip
def test_bad_input_places_nothing(world, given):
    answer = signed_in(world.admin, "retention").post(reverse("place_hold"), given)
    assert answer.status_code in (400, 422)
    assert not AuditHold.objects.exists()


def test_holding_asks_for_presence(world):
    assert signed_in(world.admin).post(reverse("place_hold"), {"reason": WHY}).status_code in (403, 422)
    assert not AuditHold.objects.exists()


def test_shorter_periods_are_proposed_and_accepted_by_another(world):
    admin, other = signed_in(world.admin, "retention"), signed_in(world.admin2, "retention")
    address = reverse("retention")
    assert admin.post(address, SET).status_code == 302
    assert periods_in_force() == Periods()
    page = admin.get(address)
    assert b"Take it back" in page.content
    assert b"Accept the shorter periods" not in page.content
    proposal = hidden(page, "proposal")
    assert b"Accept the shorter periods" not in signed_in(world.admin).get(address).content
    assert admin.post(address, {"answer": "accept", "proposal": proposal}).status_code == 403
    assert (
        signed_in(world.auditor, "retention").post(address, {"answer": "refuse", "proposal": proposal}).status_code
        == 403
    )
    assert other.post(address, {"answer": "accept", "proposal": "999"}).status_code == 409
    assert b"Accept the shorter periods" in other.get(address).content
    assert other.post(address, {"answer": "accept", "proposal": proposal}).status_code == 302
    assert periods_in_force() == chosen("7-years", "90-days")
    page = other.get(address).content.decode()
    assert "7 years (SOX)" in page
    assert world.admin.name in page


def test_longer_periods_come_into_force_at_once(world):
    short = chosen("7-years", "90-days")
    proposal = set_periods(short, actor=acting(world.admin, "retention"), reason=WHY, base=Periods())
    decide_periods(proposal, accept=True, actor=acting(world.admin2, "retention"))
    client = signed_in(world.admin, "retention")
    longer = {**SET, "keep": "10-years", "base": "2557/90"}
    assert client.post(reverse("retention"), {**longer, "base": "None/None"}).status_code == 409
    assert client.post(reverse("retention"), longer).status_code == 302
    assert periods_in_force() == chosen("10-years", "90-days")


@pytest.mark.parametrize(
    "changed",
    [{"keep": "2-years"}, {"private": ""}, {"reason": ""}, {"reason": "short"}, {"answer": "perhaps"}, {"answer": ""}],
)
def test_bad_periods_are_refused_with_words(world, changed):
    assert signed_in(world.admin, "retention").post(reverse("retention"), {**SET, **changed}).status_code == 422
    assert not AuditRetention.objects.exists()


def test_an_auditor_reads_the_periods_and_is_offered_no_change(world):
    client = signed_in(world.auditor, "retention")
    assert b"Set the periods" not in client.get(reverse("retention")).content
    assert client.post(reverse("retention"), SET).status_code == 403
