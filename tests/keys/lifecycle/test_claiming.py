"""Intent, effect, outcome: no secret is minted before the log is bound to know of it, and every intent has an end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connections, transaction

from audit.actor import Actor
from audit.models import AuditEvent, AuditLeaf, AuditPending
from keys.dispatch import intents
from keys.dispatch.cursor import read_all
from keys.dispatch.intents import report_unfinished
from keys.errors import Conflict, Denied, Unavailable
from keys.lifecycle import claiming, minting
from keys.lifecycle.claiming import SEALED_WITHIN_SECONDS, Claim, ClaimOutcome, claim_secret, intend_claim
from keys.lifecycle.revocation import revoke_key
from keys.models import DispatchCursor, KeyVersion, Notice
from keys.notifications.reactions import READER, notice_everyone
from keys.people.roles import deactivate_person
from keys.states import RevocationReason
from tests.people import World, acting, approved, issued
from tests.sealers import SealingThread

JOB = Actor.job("tests")
Superuser = psycopg.Connection[tuple[Any, ...]]


def told(*actions: str) -> list[dict[str, Any]]:
    return [event.envelope() for event in AuditEvent.objects.filter(action__in=actions).order_by("id")]


def claiming_meanwhile(version: KeyVersion, actor: Actor) -> Future[Claim]:
    """Start a claim in another thread; return when its intent is on record and it waits for the sealer."""
    outcome: Future[Claim] = Future()

    def run() -> None:
        try:
            outcome.set_result(claim_secret(version, actor=actor))
        except BaseException as error:
            outcome.set_exception(error)
        finally:
            connections.close_all()

    threading.Thread(target=run, daemon=True).start()
    deadline = time.monotonic() + 60
    while not AuditEvent.objects.filter(action="version.claim-intended").exists():
        assert time.monotonic() < deadline, outcome
        time.sleep(0.02)
    return outcome


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intents, "PATIENCE", timedelta())


def test_the_intent_is_sealed_before_the_secret_is_minted(
    sealing: SealingThread, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = approved(world).versions.get()
    sealed_when_minted: list[bool] = []
    mint = minting.mint

    def watched(*args: Any, **facts: Any) -> Any:
        intent = AuditEvent.objects.get(action="version.claim-intended")
        sealed_when_minted.append(AuditLeaf.objects.filter(event_id=intent.pk).exists())
        return mint(*args, **facts)

    monkeypatch.setattr(minting, "mint", watched)
    sealing.stop()
    waiting = claiming_meanwhile(version, acting(world.alice, "claim"))
    time.sleep(0.5)
    assert not sealed_when_minted
    sealing.start()
    assert waiting.result(60).outcome == ClaimOutcome.ISSUED
    assert sealed_when_minted == [True]
    intent, outcome = told("version.claim-intended", "version.issued")
    assert (intent["outcome"], outcome["outcome"]) == ("intent", "success")
    assert outcome["correlation"] == intent["uid"]


@pytest.mark.usefixtures("_at_once")
def test_while_the_sealer_stands_a_claim_is_refused_in_time_and_stays_unspent(
    sealing: SealingThread, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "SEALED_WITHIN_SECONDS", SEALED_WITHIN_SECONDS)  # as people meet it
    key, other = approved(world), issued(world, name="Other")[0]
    version, alice = key.versions.get(), acting(world.alice, "claim")
    sealing.stop()
    began = time.monotonic()
    with pytest.raises(Unavailable, match="audit_unsealed"):
        claim_secret(version, actor=alice)
    assert 4.5 < time.monotonic() - began < 40
    version.refresh_from_db()
    assert (version.state, version.digest, version.claimed_at) == ("pre-activation", None, None)
    intent, failed = told("version.claim-intended", "version.claim-failed")[-2:]
    assert (failed["outcome"], failed["reason"], failed["correlation"]) == ("failure", "audit_unsealed", intent["uid"])
    revoke_key(other, actor=acting(world.admin, "revoke"), reason=RevocationReason.SUPERSEDED)
    sealing.start()
    assert claim_secret(version, actor=alice).secret is not None
    sealing.settle()
    assert report_unfinished(actor=JOB) == 0


def test_whoever_waits_for_the_sealer_holds_no_transaction_and_no_lock(
    sealing: SealingThread, world: World, superuser: Superuser
) -> None:
    version = approved(world).versions.get()
    sealing.stop()
    waiting = claiming_meanwhile(version, acting(world.alice, "claim"))

    def open_transactions() -> set[tuple[Any, ...]]:
        rows = superuser.execute(
            "SELECT pid, xact_start FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'keystead-application' AND xact_start IS NOT NULL"
        )
        return set(rows.fetchall())

    held, deadline = open_transactions(), time.monotonic() + 60
    while held := held & open_transactions():
        assert time.monotonic() < deadline, "one is open for longer than one look"
        time.sleep(0.02)
    assert not waiting.done()
    superuser.execute("SELECT FROM keys_keyversion FOR UPDATE NOWAIT")
    superuser.execute("SELECT FROM keys_managedkey FOR UPDATE NOWAIT")
    sealing.start()
    assert waiting.result(60).outcome == ClaimOutcome.ISSUED


@pytest.mark.usefixtures("_at_once")
@pytest.mark.parametrize(
    ("meanwhile", "outcome"),
    [("deactivated", ("access.denied", "denied")), ("revoked", ("version.claim-failed", "failure"))],
)
def test_what_changes_while_waiting_is_seen_and_leaves_an_outcome(
    sealing: SealingThread, world: World, meanwhile: str, outcome: tuple[str, str]
) -> None:
    key = approved(world)
    sealing.stop()
    waiting = claiming_meanwhile(key.versions.get(), acting(world.alice, "claim"))
    if meanwhile == "deactivated":
        deactivate_person(world.alice, actor=acting(world.admin, "people"))
    else:
        revoke_key(key, actor=acting(world.admin, "revoke"), reason=RevocationReason.SUPERSEDED)
    sealing.start()
    with pytest.raises((Denied, Conflict)) as refused:
        waiting.result(60)
    (intent,) = told("version.claim-intended")
    (ended,) = told("access.denied", "version.claim-failed")
    assert (ended["action"], ended["outcome"]) == outcome
    assert (ended["reason"], ended["correlation"]) == (refused.value.code, intent["uid"])
    assert key.versions.get().digest is None
    sealing.settle()
    assert report_unfinished(actor=JOB) == 0


def test_strangers_leave_a_denial_and_no_intent(world: World) -> None:
    version = approved(world).versions.get()
    for who in (world.bob, world.mallory, world.admin):
        with pytest.raises(Denied):
            claim_secret(version, actor=acting(who, "claim"))
    assert told("version.claim-intended") == []
    assert len(told("access.denied")) == 3


def test_a_second_claim_stops_the_version_also_while_the_sealer_stands(sealing: SealingThread, world: World) -> None:
    _, version, _ = issued(world)
    sealing.stop()
    again = claim_secret(version, actor=acting(world.alice, "claim", session="elsewhere"))
    assert again.outcome == ClaimOutcome.MISUSED
    version.refresh_from_db()
    assert version.state == "suspended"


def test_a_secret_is_never_handed_over_inside_a_transaction(sealing: SealingThread, world: World) -> None:
    version = approved(world).versions.get()
    with transaction.atomic(), pytest.raises(RuntimeError):
        claim_secret(version, actor=acting(world.alice, "claim"))
    assert told("version.claim-intended") == []
    assert claim_secret(version, actor=acting(world.alice, "claim")).secret is not None


@pytest.mark.usefixtures("_at_once")
def test_an_intent_without_outcome_is_reported_once_and_administrators_are_told_once(
    sealing: SealingThread, world: World
) -> None:
    version = approved(world).versions.get()
    intended = intend_claim(version, actor=acting(world.alice, "claim"))  # and the process dies
    claim_secret(version, actor=acting(world.alice, "claim"))
    sealing.settle()
    assert report_unfinished(actor=JOB) == 1
    assert report_unfinished(actor=JOB) == 0
    DispatchCursor.objects.filter(reader=intents.READER).update(next_leaf=0)
    assert report_unfinished(actor=JOB) == 0
    (event,) = told("intent.unfinished")
    assert (event["target"]["id"], event["correlation"]) == (str(intended), str(intended))
    assert event["details"] == {
        "intended": "version.claim-intended", "subject_type": "version", "subject": str(version.pk),
    }  # fmt: skip
    for _ in range(2):
        sealing.settle()
        read_all(READER, (notice_everyone,))
    notices = Notice.objects.filter(kind="intent.unfinished")
    assert sorted(notices.values_list("person__name", flat=True)) == ["Admin", "Admin2", "Responder"]


def test_an_intent_is_given_five_minutes(sealing: SealingThread, world: World) -> None:
    intend_claim(approved(world).versions.get(), actor=acting(world.alice, "claim"))
    sealing.settle()
    assert report_unfinished(actor=JOB) == 0
    place = DispatchCursor.objects.get(reader=intents.READER).next_leaf
    assert place < AuditLeaf.objects.count() - AuditPending.objects.count()


@pytest.mark.usefixtures("_at_once")
def test_two_workers_report_an_intent_once(sealing: SealingThread, world: World) -> None:
    intend_claim(approved(world).versions.get(), actor=acting(world.alice, "claim"))
    sealing.settle()

    def report() -> int:
        try:
            return report_unfinished(actor=JOB)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        reports: list[Callable[[], int]] = [report] * 8
        assert sum(pool.map(lambda each: each(), reports)) == 1
    assert len(told("intent.unfinished")) == 1
