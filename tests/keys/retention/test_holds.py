"""A hold keeps a range until another person lifts it; whoever may not read the log finds no holds at all."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection

from audit import clock
from audit.actor import Actor
from audit.models import WITHOUT_END, AuditEvent, AuditHold
from audit.sealer import Sealer
from keys.errors import Conflict, Denied, Invalid, NotFound
from keys.retention.holds import HeldSpan, hold_of, lift_hold, list_holds, place_hold
from tests.audit.sealing import make_sealer
from tests.people import World, acting

WHY = "Letter of the court of 12 May"
EVERYTHING = HeldSpan()


@pytest.fixture
def sealer(committed_db: None, tmp_path: Path) -> Sealer:
    return make_sealer(tmp_path / "sealer")


@pytest.fixture
def sealed(sealer: Sealer, world: World) -> World:
    sealer.seal()
    return world


@pytest.mark.parametrize("who", ["admin", "auditor"])
def test_administrators_and_auditors_place_a_hold_on_record(sealed: World, who: str) -> None:
    actor = acting(getattr(sealed, who), "retention")
    hold = place_hold(EVERYTHING, actor=actor, reason=WHY)
    assert (hold.from_leaf, hold.upto_leaf, hold.placed_by) == (0, WITHOUT_END, f"person:{actor.id}")
    event = AuditEvent.objects.with_action("hold.placed").select_related("private").get()
    assert (event.target_id, event.actor_id) == (str(hold.pk), actor.id)
    assert WHY not in bytes(event.payload).decode()
    assert event.private.facts()["change"] == {"reason": [None, WHY]}


@pytest.mark.parametrize("who", ["alice", "bob", "responder", "mallory"])
def test_for_everybody_else_there_are_no_holds(sealed: World, who: str) -> None:
    hold = place_hold(EVERYTHING, actor=acting(sealed.admin, "retention"), reason=WHY)
    actor = acting(getattr(sealed, who), "retention")
    for act in (
        lambda: place_hold(EVERYTHING, actor=actor, reason=WHY),
        lambda: lift_hold(hold, actor=actor),
        lambda: list_holds(actor=actor),
        lambda: hold_of(hold.pk, actor=actor),
    ):
        with pytest.raises(Denied) as denied:
            act()
        assert denied.value.hidden
    assert AuditHold.objects.get().lifted_at is None


@pytest.mark.parametrize("actor", [Actor.operator("root"), Actor.job("nightly"), Actor.system("x")])
def test_only_people_hold(sealed: World, actor: Actor) -> None:
    with pytest.raises(Denied) as denied:
        place_hold(EVERYTHING, actor=actor, reason=WHY)
    assert denied.value.code == "people_only"


def test_holding_and_lifting_need_presence_for_just_this(sealed: World) -> None:
    with pytest.raises(Denied) as denied:
        place_hold(EVERYTHING, actor=acting(sealed.admin, "people", "policy", "export"), reason=WHY)
    assert denied.value.code == "step_up_required"
    hold = place_hold(EVERYTHING, actor=acting(sealed.admin, "retention"), reason=WHY)
    with pytest.raises(Denied) as denied:
        lift_hold(hold, actor=acting(sealed.admin2))
    assert denied.value.code == "step_up_required"


def test_another_administrator_lifts_and_nobody_else(sealed: World) -> None:
    hold = place_hold(EVERYTHING, actor=acting(sealed.admin, "retention"), reason=WHY)
    for who, code in (("admin", "hold_needs_another"), ("auditor", "not_an_administrator")):
        with pytest.raises(Denied) as denied:
            lift_hold(hold, actor=acting(getattr(sealed, who), "retention"))
        assert (denied.value.code, denied.value.hidden) == (code, False)
    lift_hold(hold, actor=acting(sealed.admin2, "retention"))
    assert AuditEvent.objects.with_action("hold.lifted").get().actor_id == str(sealed.admin2.pk)
    with pytest.raises(Conflict) as conflict:
        lift_hold(hold, actor=acting(sealed.admin2, "retention"))
    assert conflict.value.code == "hold_lifted_already"
    assert AuditEvent.objects.with_action("access.denied").count() == 2


def test_an_auditor_cannot_lift_what_they_placed_and_an_administrator_can(sealed: World) -> None:
    hold = place_hold(EVERYTHING, actor=acting(sealed.auditor, "retention"), reason=WHY)
    lift_hold(hold, actor=acting(sealed.admin, "retention"))


def test_a_span_of_time_becomes_the_leaves_of_its_events(sealed: World, sealer: Sealer) -> None:
    at = clock.now()
    admin = acting(sealed.admin, "retention")
    size = sealer.seal().size
    past = place_hold(HeldSpan(since=at - timedelta(days=1), before=at), actor=admin, reason=WHY)
    assert past.from_leaf == _leaf_since(at - timedelta(days=1))
    assert past.upto_leaf >= size
    assert past.upto_leaf < WITHOUT_END
    lasting = place_hold(HeldSpan(since=at), actor=admin, reason=WHY)
    assert (lasting.from_leaf >= size, lasting.upto_leaf) == (True, WITHOUT_END)
    future = place_hold(HeldSpan(before=at + timedelta(days=365)), actor=admin, reason=WHY)
    assert (future.from_leaf, future.upto_leaf) == (0, WITHOUT_END)
    exact = place_hold(HeldSpan(from_leaf=3, upto_leaf=5), actor=admin, reason=WHY)
    assert (exact.from_leaf, exact.upto_leaf) == (3, 5)


def _leaf_since(moment) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT min(index) FROM audit_leaf JOIN audit_event ON audit_event.id = event_id WHERE occurred_at >= %s",
            [moment],
        )
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize(
    ("span", "field"),
    [
        (HeldSpan(from_leaf=5, upto_leaf=5), "upto_leaf"),
        (HeldSpan(from_leaf=-1), "from_leaf"),
        (HeldSpan(upto_leaf=0), "upto_leaf"),
        (HeldSpan(upto_leaf=2**63), "upto_leaf"),
        (HeldSpan(from_leaf=2**70), "from_leaf"),
    ],
)
def test_a_span_has_to_be_one(sealed: World, span: HeldSpan, field: str) -> None:
    with pytest.raises(Invalid) as invalid:
        place_hold(span, actor=acting(sealed.admin, "retention"), reason=WHY)
    assert set(invalid.value.fields) == {field}


def test_times_and_leaves_are_not_mixed_and_an_empty_span_holds_nothing(sealed: World) -> None:
    admin, at = acting(sealed.admin, "retention"), clock.now()
    with pytest.raises(Invalid):
        place_hold(HeldSpan(from_leaf=1, since=at), actor=admin, reason=WHY)
    with pytest.raises(Invalid):
        place_hold(HeldSpan(since=at, before=at), actor=admin, reason=WHY)
    with pytest.raises(Invalid):
        place_hold(EVERYTHING, actor=admin, reason="short")
    with pytest.raises(NotFound):
        hold_of(999, actor=admin)
