"""Workers share what is due, a row that cannot be done holds up no other and is seen, and each effect is there once."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connections

from audit import clock
from audit.actor import Actor
from audit.models import AuditEvent
from benchmarks.emergency.population import Owners, make_keys
from keys.errors import Conflict, Unavailable
from keys.jobs import endings
from keys.jobs.sweeping import in_turn, sweep
from keys.lifecycle.ending import end_versions
from keys.models import JobLease, KeyVersion, VerificationChange
from keys.tasks import end_what_is_over
from tests.keys.test_tasks import age
from tests.people import World
from tests.races import in_parallel

Superuser = psycopg.Connection[tuple[Any, ...]]
KIND = "keys.end_what_is_over"


@pytest.fixture
def overdue(committed_db: None, world: World, superuser: Superuser) -> list[KeyVersion]:
    """Forty working versions whose time is over."""
    owners = Owners(team=world.reporting, recipient=world.alice, service=world.orders, scopes=("orders:read",))
    make_keys(owners, count=40, actor=Actor.system("tests"))
    age(superuser, "UPDATE keys_keyversion SET expires_at = clock_timestamp() - interval '1 second'")
    superuser.execute("ALTER TABLE keys_keyversion ENABLE TRIGGER USER")
    return list(KeyVersion.objects.order_by("pk"))


def ended() -> Counter[str]:
    """How many events say so, for each version."""
    return Counter(AuditEvent.objects.filter(action="version.deactivated").values_list("target_id", flat=True))


def test_many_versions_end_in_one_transaction_each_with_its_event(overdue: list[KeyVersion]) -> None:
    assert end_what_is_over() == 40
    assert end_what_is_over() == 0
    assert ended() == Counter({str(each.pk): 1 for each in overdue})
    assert set(KeyVersion.objects.values_list("state", "ended_reason")) == {("deactivated", "expired")}
    assert all(each.ended_at == each.expires_at for each in KeyVersion.objects.all())
    assert VerificationChange.objects.filter(managed_key__in=[each.managed_key_id for each in overdue]).exists()
    transactions = AuditEvent.objects.filter(action="version.deactivated").values("txid").distinct().count()
    assert transactions == 1


def test_workers_share_a_sweep_and_nothing_is_done_twice(overdue: list[KeyVersion]) -> None:
    done = in_parallel(4, lambda _: endings.end_overdue(KIND, batch=3))
    assert sum(done) == 40
    assert set(ended().values()) == {1}
    assert len(ended()) == 40
    assert sum(each > 0 for each in done) > 1, done


def test_what_somebody_holds_is_passed_over_and_done_later(overdue: list[KeyVersion], superuser: Superuser) -> None:
    held = overdue[0]
    with superuser.transaction():
        superuser.execute("SELECT 1 FROM keys_managedkey WHERE id = %s FOR UPDATE", [held.managed_key_id])
        assert end_what_is_over() == 39
    assert end_what_is_over() == 1
    assert set(ended().values()) == {1}


def test_a_row_that_cannot_be_written_holds_up_no_other_and_is_seen(
    overdue: list[KeyVersion], superuser: Superuser
) -> None:
    poisoned = overdue[5]
    superuser.execute(
        f"CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.id = '{poisoned.pk}' "
        "THEN RAISE EXCEPTION 'poisoned'; END IF; RETURN NEW; END $$"
    )
    superuser.execute("CREATE TRIGGER poison BEFORE UPDATE ON keys_keyversion FOR EACH ROW EXECUTE FUNCTION poison()")
    assert end_what_is_over() == 39
    lease = JobLease.objects.get()
    assert (lease.subject_id, lease.step, lease.kind, lease.attempts) == (poisoned.pk, "end_version", KIND, 1)
    assert lease.code
    assert lease.free_at > clock.now()
    assert list(JobLease.objects.troubled(clock.now())) == [lease]
    assert end_what_is_over() == 0
    superuser.execute("DROP TRIGGER poison ON keys_keyversion")
    assert end_what_is_over() == 0, "not before its pause is over"
    superuser.execute("UPDATE keys_joblease SET free_at = clock_timestamp()")
    assert end_what_is_over() == 1
    assert len(ended()) == 40


def test_a_failure_that_comes_back_is_tried_again_later_and_later(world: World) -> None:
    world.orders.retires_at = clock.now() - timedelta(seconds=1)
    rows = type(world.orders).objects.filter(pk=world.orders.pk)

    def refuse(_row: object, *, actor: Actor) -> bool:
        raise Conflict("changed_meanwhile")

    pauses = []
    for _ in range(4):
        assert sweep(KIND, rows, refuse) == 0
        lease = JobLease.objects.get()
        pauses.append(lease.free_at - lease.taken_at)
        JobLease.objects.update(free_at=lease.taken_at)
    assert lease.code == "changed_meanwhile"
    assert lease.attempts == 4
    assert pauses == sorted(pauses)
    assert pauses[0] < pauses[-1]


def test_a_row_that_somebody_else_did_meanwhile_is_no_failure(world: World) -> None:
    rows = type(world.orders).objects.filter(pk=world.orders.pk, name="Orders")

    def lose(row: Any, *, actor: Actor) -> bool:
        type(row).objects.filter(pk=row.pk).update(name="Done")
        raise Conflict("changed_meanwhile")

    assert sweep(KIND, rows, lose) == 0
    assert not JobLease.objects.exists()
    type(world.orders).objects.filter(pk=world.orders.pk).update(name="Orders")


@pytest.mark.parametrize("error", [Unavailable("audit_behind"), OperationalError("gone")])
def test_what_is_nobodys_row_s_fault_stops_the_step_and_blames_no_row(world: World, error: Exception) -> None:
    def stand_still(_row: object, *, actor: Actor) -> bool:
        raise error

    with pytest.raises(type(error)):
        sweep(KIND, type(world.orders).objects.filter(pk=world.orders.pk), stand_still)
    assert not JobLease.objects.exists()


def test_one_step_that_fails_does_not_keep_the_others_from_their_turn() -> None:
    ran: list[int] = []

    def fail() -> int:
        raise Unavailable("audit_behind")

    with pytest.raises(Unavailable):
        in_turn(fail, lambda: ran.append(1) or 1)
    assert ran == [1]


def test_a_forged_row_is_ended_and_stays_forged(overdue: list[KeyVersion], superuser: Superuser) -> None:
    forged = overdue[0]
    superuser.execute("ALTER TABLE keys_keyversion DISABLE TRIGGER USER")
    superuser.execute("UPDATE keys_keyversion SET row_mac = 'hmac-sha256:none:00' WHERE id = %s", [forged.pk])
    superuser.execute("ALTER TABLE keys_keyversion ENABLE TRIGGER USER")
    assert end_what_is_over() == 40
    forged.refresh_from_db()
    assert (forged.state, forged.row_mac) == ("deactivated", "hmac-sha256:none:00")


def test_a_living_version_is_never_ended(overdue: list[KeyVersion], superuser: Superuser) -> None:
    age(superuser, "UPDATE keys_keyversion SET expires_at = clock_timestamp() + interval '1 hour'")
    assert end_what_is_over() == 0
    assert end_versions(KeyVersion.objects.over_by(clock.now()), most=10, actor=Actor.job("end_version")) == 0


def test_the_index_finds_what_is_over(overdue: list[KeyVersion]) -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        plan = KeyVersion.objects.over_by(clock.now()).explain()
        cursor.execute("RESET enable_seqscan")
    assert "version_ends" in plan
