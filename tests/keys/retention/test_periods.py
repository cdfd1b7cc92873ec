"""Longer periods come into force at once, shorter ones by two; private parts expire by theirs, on record and never while held."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, transaction

from audit import clock
from audit.actor import Actor
from audit.erasures import read_erasures
from audit.inspection import inspect_log
from audit.models import AuditEvent, AuditPrivate, AuditRetention
from audit.pins import Pins
from audit.replay import read_events
from audit.retention import Periods, expire_private, gaps, outlook, periods_in_force
from audit.sealer import Sealer
from keys.errors import Conflict, Denied, Invalid
from keys.retention.holds import HeldSpan, lift_hold, place_hold
from keys.retention.periods import chosen, decide_periods, expire_private_parts, set_periods, view_retention
from tests.audit.sealing import make_sealer
from tests.people import World, acting

WHY = "The auditors asked for it"
NIGHTLY = Actor.job("expire_private_parts")
ALL = Periods()
SEVEN = chosen("7-years", "forever")
SHORT = chosen("7-years", "90-days")


@pytest.mark.django_db
class TestSetting:
    def test_without_a_setting_everything_is_kept(self, world: World) -> None:
        assert periods_in_force() == ALL

    def test_shorter_periods_wait_for_another_administrator(self, world: World) -> None:
        proposal = set_periods(SEVEN, actor=acting(world.admin, "retention"), reason=WHY, base=ALL)
        assert (proposal.outcome, periods_in_force()) == ("", ALL)
        with pytest.raises(Denied) as denied:
            decide_periods(proposal, accept=True, actor=acting(world.admin, "retention"))
        assert denied.value.code == "second_administrator_for_periods"
        decide_periods(proposal, accept=True, actor=acting(world.admin2, "retention"))
        assert periods_in_force() == SEVEN
        told = AuditEvent.objects.with_action("retention.set").get().envelope()
        assert told["details"] == {"keep_days_before": None, "private_days_before": None}
        assert told["change"]["outcome"] == ["", "accepted"]  # type: ignore[index,call-overload]
        with pytest.raises(Conflict):
            decide_periods(proposal, accept=False, actor=acting(world.admin2, "retention"))

    def test_longer_periods_are_in_force_at_once(self, world: World) -> None:
        admin = acting(world.admin, "retention")
        proposal = set_periods(SEVEN, actor=admin, reason=WHY, base=ALL)
        decide_periods(proposal, accept=True, actor=acting(world.admin2, "retention"))
        longer = chosen("10-years", "forever")
        assert set_periods(longer, actor=admin, reason=WHY, base=SEVEN).outcome == "accepted"
        assert periods_in_force() == longer

    def test_longer_events_with_shorter_private_parts_is_shorter(self) -> None:
        assert chosen("10-years", "90-days").is_shorter_than(SEVEN)
        assert SEVEN.is_shorter_than(ALL)
        assert not ALL.is_shorter_than(SEVEN)

    def test_the_proposer_may_take_it_back(self, world: World) -> None:
        admin = acting(world.admin, "retention")
        proposal = set_periods(SEVEN, actor=admin, reason=WHY, base=ALL)
        with pytest.raises(Conflict):
            set_periods(SHORT, actor=admin, reason=WHY, base=ALL)
        decide_periods(proposal, accept=False, actor=admin)
        assert AuditRetention.objects.get().outcome == "refused"
        assert set_periods(SHORT, actor=admin, reason=WHY, base=ALL).outcome == ""

    @pytest.mark.parametrize("who", ["alice", "bob", "responder"])
    def test_for_others_there_are_no_periods(self, world: World, who: str) -> None:
        actor = acting(getattr(world, who), "retention")
        for act in (
            lambda: set_periods(SEVEN, actor=actor, reason=WHY, base=ALL),
            lambda: view_retention(actor=actor),
        ):
            with pytest.raises(Denied) as denied:
                act()
            assert denied.value.hidden

    def test_an_auditor_sees_and_does_not_set(self, world: World) -> None:
        auditor = acting(world.auditor, "retention")
        with pytest.raises(Denied) as denied:
            set_periods(SEVEN, actor=auditor, reason=WHY, base=ALL)
        assert (denied.value.code, denied.value.hidden) == ("not_an_administrator", False)
        assert view_retention(actor=auditor).periods == ALL

    def test_the_shell_sets_nothing_and_presence_is_needed(self, world: World) -> None:
        for actor in (Actor.operator("root"), acting(world.admin, "people")):
            with pytest.raises(Denied):
                set_periods(SEVEN, actor=actor, reason=WHY, base=ALL)

    def test_only_presets_and_only_what_one_looked_at(self, world: World) -> None:
        admin = acting(world.admin, "retention")
        for wrong in (Periods(keep_days=31), Periods(private_days=7)):
            with pytest.raises(Invalid):
                set_periods(wrong, actor=admin, reason=WHY, base=ALL)
        with pytest.raises(Invalid) as invalid:
            chosen("2-years", "soon")
        assert set(invalid.value.fields) == {"keep", "private"}
        with pytest.raises(Conflict) as conflict:
            set_periods(SEVEN, actor=admin, reason=WHY, base=SEVEN)
        assert conflict.value.code == "retention_changed"
        with pytest.raises(Conflict) as conflict:
            set_periods(ALL, actor=admin, reason=WHY, base=ALL)
        assert conflict.value.code == "retention_same"


@pytest.fixture
def sealer(committed_db: None, tmp_path: Path) -> Sealer:
    return make_sealer(tmp_path / "sealer")


@pytest.fixture
def old(sealer: Sealer, world: World, superuser: "psycopg.Connection[Any]") -> World:
    """A log of 100 days ago, with a period of 90 days for private parts."""
    proposal = set_periods(SHORT, actor=acting(world.admin, "retention"), reason=WHY, base=ALL)
    decide_periods(proposal, accept=True, actor=acting(world.admin2, "retention"))
    superuser.execute("ALTER TABLE audit_event DISABLE TRIGGER audit_append_only")
    superuser.execute("UPDATE audit_event SET recorded_at = now() - interval '100 days'")
    superuser.execute("ALTER TABLE audit_event ENABLE ALWAYS TRIGGER audit_append_only")
    sealer.seal()
    return world


def test_private_parts_expire_and_the_log_still_holds(old: World, sealer: Sealer) -> None:
    before = AuditPrivate.objects.count()
    size = sealer.seal().size
    assert expire_private_parts(actor=NIGHTLY) == size
    assert AuditPrivate.objects.count() == 1  # that of the expiry
    told = AuditEvent.objects.with_action("pii.expired").get().envelope()
    assert told["details"] == {"from_leaf": 0, "upto_leaf": size}
    assert expire_private_parts(actor=NIGHTLY) == 0
    sealer.seal()
    found = inspect_log(Pins(verifiers=[sealer.signer.verifier]))
    assert (found.findings, found.erased) == ([], before)
    replay = read_events("auditor")
    assert replay.findings == []
    assert read_erasures().covers("any", size - 1)
    assert not read_erasures().covers("any", size)


def test_what_is_held_expires_when_the_hold_is_lifted(old: World, sealer: Sealer) -> None:
    size = sealer.seal().size
    hold = place_hold(HeldSpan(from_leaf=2, upto_leaf=size), actor=acting(old.auditor, "retention"), reason=WHY)
    assert expire_private_parts(actor=NIGHTLY) == 2
    assert expire_private_parts(actor=NIGHTLY) == 0
    lift_hold(hold, actor=acting(old.admin, "retention"))
    assert expire_private_parts(actor=NIGHTLY) == size - 2


def test_the_database_lets_nothing_younger_or_held_expire(
    old: World, sealer: Sealer, superuser: "psycopg.Connection[Any]"
) -> None:
    proposal = set_periods(
        chosen("7-years", "180-days"), actor=acting(old.admin, "retention"), reason=WHY, base=periods_in_force()
    )
    assert proposal.outcome == "accepted"
    assert expire_private_parts(actor=NIGHTLY) == 0
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        expire_private((0, 5), reason="x", actor=NIGHTLY, at=clock.now())


def test_an_inspection_names_a_private_part_that_came_back(
    old: World, sealer: Sealer, superuser: "psycopg.Connection[Any]"
) -> None:
    kept = superuser.execute("SELECT event_id, salt, body FROM audit_private ORDER BY event_id LIMIT 1").fetchone()
    expire_private_parts(actor=NIGHTLY)
    superuser.execute("ALTER TABLE audit_private DISABLE TRIGGER audit_private_belongs")
    superuser.execute("INSERT INTO audit_private VALUES (%s, %s, %s)", kept)
    sealer.seal()
    found = inspect_log(Pins(verifiers=[sealer.signer.verifier]))
    assert [each.code for each in found.findings] == ["erasure"]


def test_gaps_are_what_is_left() -> None:
    assert gaps((0, 10), []) == [(0, 10)]
    assert gaps((0, 10), [(0, 3), (2, 5), (7, 20)]) == [(5, 7)]
    assert gaps((0, 10), [(3, 4)]) == [(0, 3), (4, 10)]
    assert gaps((5, 10), [(0, 6)]) == [(6, 10)]
    assert gaps((5, 5), []) == []


def test_an_outlook_of_a_small_log_lets_nothing_go(old: World) -> None:
    found = outlook(chosen("1-year", "forever"), at=clock.now())
    assert (found.first, found.old_upto, found.upto, found.holds) == (0, 0, 0, ())
