"""What an operation does when something else is wrong: a held lock, a broken log, a wrong clock, a process that dies."""

from __future__ import annotations

import signal
import threading
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
import time_machine
from django.db import connections, transaction

from audit import clock
from audit.models import AuditEvent
from keys.approvals.decisions import approve_request
from keys.errors import Busy, Denied, Unavailable
from keys.invariants import breaches
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.revocation import revoke_key
from keys.models import Approval, KeyRequest, KeyVersion, ManagedKey, Person
from keys.people.roles import deactivate_person
from keys.states import RevocationReason
from tests.forks import Fork, killed_at
from tests.people import World, acting, approved, issued, submitted

Superuser = psycopg.Connection[tuple[Any, ...]]
pytestmark = pytest.mark.usefixtures("sealing")


def test_a_lock_that_is_held_too_long_is_busy_and_changes_nothing(world: World) -> None:
    request = submitted(world)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            KeyRequest.objects.select_for_update().get(pk=request.pk)
            held.set()
            done.wait(90)
        connections.close_all()

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(60)
    began = time.monotonic()
    with pytest.raises(Busy):
        approve_request(request, digest=request.digest, actor=acting(world.bob, "approve"))
    waited = time.monotonic() - began
    done.set()
    holder.join()
    assert 2 < waited < 60
    assert not Approval.objects.exists()


def test_what_cannot_be_recorded_does_not_happen(world: World, superuser: Superuser) -> None:
    key, version, _ = issued(world)
    superuser.execute("ALTER TABLE audit_event ADD CONSTRAINT disk_full CHECK (false) NOT VALID")
    with pytest.raises(Unavailable, match="log_unwritable"):
        revoke_key(key, actor=acting(world.alice, "revoke"), reason=RevocationReason.SUPERSEDED)
    with pytest.raises(Unavailable):  # also a denial that cannot be recorded
        revoke_key(key, actor=acting(world.mallory, "revoke"), reason=RevocationReason.SUPERSEDED)
    version.refresh_from_db()
    assert version.state == "active"


def test_decisions_go_by_the_clock_of_the_database(world: World) -> None:
    request = submitted(world)
    bob = acting(world.bob, "approve")
    stale = acting(world.carol, "approve", at=clock.now() - timedelta(minutes=6))
    with time_machine.travel(timedelta(hours=-1)), pytest.raises(Denied, match="step_up_required"):
        approve_request(request, digest=request.digest, actor=stale)
    with time_machine.travel(timedelta(days=30)):
        approve_request(request, digest=request.digest, actor=bob)
    event = AuditEvent.objects.get(action="approval.given")
    assert abs(event.occurred_at - event.recorded_at) < timedelta(minutes=5)


def test_the_approval_of_somebody_who_left_does_not_count(world: World) -> None:
    request = submitted(world)
    approve_request(request, digest=request.digest, actor=acting(world.carol, "approve"))
    deactivate_person(world.carol, actor=acting(world.admin, "people"))
    approve_request(request, digest=request.digest, actor=acting(world.bob, "approve"))
    request.refresh_from_db()
    assert request.state == "pending"
    approve_request(request, digest=request.digest, actor=acting(world.ben, "approve"))
    assert ManagedKey.objects.filter(request=request).exists()


def claiming_until(statement: int, version_id: UUID) -> None:
    """Claim as Alice, and be killed at this statement; whatever was being done, the rows are whole afterwards."""
    version = KeyVersion.objects.select_related("managed_key").get(pk=version_id)
    actor = acting(Person.objects.get(email="alice@example.com"), "claim")
    with killed_at(statement=statement):
        assert claim_secret(version, actor=actor).outcome == "issued"


@pytest.mark.parametrize("stride", [5, pytest.param(1, marks=pytest.mark.long)])
def test_a_claim_killed_at_any_statement_is_whole_or_never_was(world: World, stride: int) -> None:
    version = approved(world).versions.get()
    killed = 0
    for step in range(1, 40, stride):
        ended = Fork(claiming_until, step, version.pk).ended()
        row = KeyVersion.objects.get(pk=version.pk)
        issued_events = AuditEvent.objects.filter(action="version.issued").count()
        assert (row.state == "active") == (issued_events == 1) == (row.digest is not None)
        if ended == -signal.SIGKILL:
            killed += 1
            assert issued_events == 0
            continue
        assert ended == 0
        break
    else:
        pytest.fail("no claim ever finished")
    assert killed >= 3
    assert list(breaches()) == []
    assert claim_secret(version, actor=acting(world.alice, "claim")).secret is None


def approving_until(statement: int, request_id: UUID) -> None:
    """Approve as Carol, and be killed at this statement."""
    request = KeyRequest.objects.get(pk=request_id)
    actor = acting(Person.objects.get(email="carol@example.com"), "approve")
    with killed_at(statement=statement):
        approve_request(request, digest=request.digest, actor=actor)


@pytest.mark.parametrize("stride", [8, pytest.param(1, marks=pytest.mark.long)])
def test_an_approval_killed_at_any_statement_made_the_key_or_never_was(world: World, stride: int) -> None:
    request = submitted(world)
    approve_request(request, digest=request.digest, actor=acting(world.bob, "approve"))
    killed = 0
    for step in range(1, 80, stride):
        ended = Fork(approving_until, step, request.pk).ended()
        given, events = Approval.objects.count(), AuditEvent.objects.filter(action="approval.given").count()
        keys, made = ManagedKey.objects.count(), AuditEvent.objects.filter(action="key.created").count()
        if ended == 0:
            assert (given, events, keys, made) == (2, 2, 1, 1)
            break
        assert ended == -signal.SIGKILL
        assert (given, events, keys, made) == (1, 1, 0, 0)
        killed += 1
    else:
        pytest.fail("no approval ever finished")
    assert killed >= 3
    assert list(breaches()) == []
