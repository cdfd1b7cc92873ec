"""What a verifier holds in memory follows the database, and each trap on the way is closed."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from django.db import connections, transaction

from audit.actor import Actor
from keys.crypto.digests import digest
from keys.lifecycle.revocation import reinstate_key, revoke_key, suspend_key
from keys.models import Environment, KeyVersion, VerificationChange, Verifier
from keys.sealing import keyring
from keys.states import RevocationReason
from keys.verification.memory import lease
from keys.verification.memory.feed import Feed
from keys.verification.reasons import Reason
from keys.verification.watching.integrity import Sweep, sweep_integrity
from keys.verification.watching.receipts import How, stop_with_receipt
from tests.keys.verification.following import behind_the_back, following, place_of, said
from tests.people import acting, issued

pytestmark = pytest.mark.usefixtures("sealing")


@pytest.fixture
def key(world):
    return issued(world)


def revoke(world, key):
    revoke_key(key, actor=acting(world.responder, "revoke"), reason=RevocationReason.KEY_COMPROMISE)


def test_memory_says_what_the_database_says_through_the_life_of_a_key(world, key):
    feed = following()
    managed, _, secret = key
    assert said(feed, world, secret) is None
    for change, reason in (
        (lambda: suspend_key(managed, actor=acting(world.alice, "suspend"), reason="investigation"), Reason.SUSPENDED),
        (lambda: reinstate_key(managed, actor=acting(world.admin, "reinstate")), None),
        (lambda: revoke(world, managed), Reason.COMPROMISED),
    ):
        change()
        feed.tick()
        assert said(feed, world, secret) == reason
    later = issued(world)[2]
    assert said(feed, world, later) == Reason.UNKNOWN
    feed.tick()
    assert said(feed, world, later) is None


def test_expiry_needs_no_message(world, key):
    feed = following()
    _, version, secret = key
    ends = version.expires_at.timestamp()
    assert said(feed, world, secret, at=ends - 0.001) is None
    assert said(feed, world, secret, at=ends) == Reason.EXPIRED


def test_a_row_changed_by_sql_does_not_verify(world, superuser):
    """Whatever it is that was changed, of the version or of its key; each on a key of its own."""
    of_versions = (
        "digest = sha256('other')",
        "expires_at = expires_at + interval '1 day'",
        "kid = 'abcdefghijkLMN'",
        "retire_at = now() + interval '1 day'",
    )
    of_keys = ("scopes = '{orders:write}'", "networks = '{}'", "authorised_until = now() + interval '9 years'")
    changed = [("keys_keyversion", "id", column) for column in of_versions]
    changed += [("keys_managedkey", "id", column) for column in of_keys]
    made = [issued(world, networks=("10.1.0.0/16",)) for _ in changed]
    feed = following()
    for (table, pk, column), (managed, version, _) in zip(changed, made, strict=True):
        row = version if table == "keys_keyversion" else managed
        behind_the_back(superuser, f"UPDATE {table} SET {column} WHERE {pk} = %s", row.pk)
    feed.tick()
    for (_, _, column), (_, _, secret) in zip(changed, made, strict=True):
        assert said(feed, world, secret) in (Reason.INTEGRITY_FAILURE, Reason.UNKNOWN), column


def test_even_a_change_past_every_trigger_is_seen_when_the_sweep_has_found_it(world, key, superuser):
    """Nothing wider is ever honoured: until then memory holds the row that was sound."""
    feed = following()
    behind_the_back(superuser, "UPDATE keys_keyversion SET state = 'suspended' WHERE id = %s", key[1].pk, heard=False)
    feed.tick()
    assert said(feed, world, key[2]) is None
    assert sweep_integrity(Sweep(), actor=Actor.job("check_integrity")) == 1
    feed.tick()
    assert said(feed, world, key[2]) == Reason.INTEGRITY_FAILURE


def test_a_forged_row_with_the_digest_of_a_sound_one_pushes_it_out_of_no_memory(world, key, superuser):
    _, version, secret = key
    other = issued(world)[1]
    behind_the_back(
        superuser,
        "UPDATE keys_keyversion SET digest = (SELECT digest FROM keys_keyversion WHERE id = %s) WHERE id = %s",
        version.pk,
        other.pk,
    )
    assert said(following(), world, secret) is None


def test_a_change_that_commits_late_is_not_missed(world, key, superuser):
    """Sequences are not ordered by commit: the change with the lower number may come last."""
    managed, _, secret = key
    other = issued(world)[0]
    opened, may_commit = threading.Event(), threading.Event()

    def late():
        try:
            with transaction.atomic():
                revoke(world, managed)
                opened.set()
                may_commit.wait(20)
        finally:
            connections.close_all()

    thread = threading.Thread(target=late)
    feed = following()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("django.db.transaction.Atomic.__enter__", _nestable(transaction.Atomic.__enter__))
        thread.start()
        assert opened.wait(20)
        revoke(world, other)  # begins later, commits first
        feed.tick()
        assert said(feed, world, secret) is None
        may_commit.set()
        thread.join()
    feed.tick()
    assert said(feed, world, secret) == Reason.COMPROMISED


def _nestable(enter):
    """Let an operation, which wants to be outermost, run inside a transaction that stays open."""

    def run(atomic):
        atomic.durable = False
        return enter(atomic)

    return run


def test_a_change_between_loading_and_the_first_look_is_not_skipped(world, key, monkeypatch):
    managed, _, secret = key
    feed = Feed(name="starting")
    loaded = feed._resync

    def load_then_revoke():
        loaded()
        revoke(world, managed)

    monkeypatch.setattr(feed, "_resync", load_then_revoke)
    feed.catch_up()
    feed.tick()
    assert said(feed, world, secret) == Reason.COMPROMISED


def test_freshness_comes_from_a_look_and_not_from_a_heartbeat(world, key, monkeypatch):
    """A lease may be renewed and a bell may ring: without a look at the changes nothing is fresh."""
    feed = following()
    before = place_of(feed, world).fresh_until

    def unreadable(_applied):
        raise RuntimeError

    monkeypatch.setattr(lease, "look", unreadable)
    with pytest.raises(RuntimeError):
        feed.tick()
    assert place_of(feed, world).fresh_until == before


def test_the_lease_is_committed_before_the_look_under_it(world, monkeypatch):
    """Else a revocation between the two would see no lease to wait for, and the look would not see the revocation."""
    feed = following()
    seen = []
    looked = lease.look

    def look(applied):
        renewed_at = Verifier.objects.get(pk=feed.holder.id).renewed_at
        seen.append(renewed_at)
        return looked(applied)

    first = Verifier.objects.get(pk=feed.holder.id).renewed_at
    monkeypatch.setattr(lease, "look", look)
    feed.tick()
    assert seen[0] > first


def test_our_end_of_a_lease_lies_before_the_databases(world):
    feed = following()
    row = Verifier.objects.get(pk=feed.holder.id)
    ours = place_of(feed, world).fresh_until + feed.offset  # by the database's clock, as well as we know it
    assert ours < row.valid_until.timestamp()
    assert row.terms[str(place_of(feed, world).environment_id)] == 3000


def test_a_longer_staleness_counts_from_the_next_lease_on(world, superuser):
    feed = following()
    behind_the_back(superuser, "UPDATE keys_environment SET max_staleness_ms = 60000 WHERE tag = 'prod'")
    feed.tick()
    promised = Verifier.objects.get(pk=feed.holder.id).terms
    place = place_of(feed, world)
    assert place.staleness == 60
    assert place.fresh_until - lease.clock() < 3, "only what was promised in the row may be used"
    feed.tick()
    assert place.fresh_until - lease.clock() > 50
    assert promised[str(place.environment_id)] == 3000


def test_another_past_is_a_reason_to_read_everything(world, key, monkeypatch):
    feed = following()
    loads = feed.resyncs
    feed.catch_up()
    assert feed.resyncs == loads, "a lost connection is none"
    monkeypatch.setattr(lease, "history", lambda: ("restored/2/1", feed.position))
    feed.catch_up()
    assert feed.resyncs == loads + 1


def test_a_position_that_the_database_does_not_know_is_a_gap(world, key):
    feed = following()
    loads = feed.resyncs
    feed.position = "999999999:999999999:"
    feed.tick()
    assert feed.resyncs == loads + 1
    assert not feed.is_fresh
    feed.tick()
    assert feed.is_fresh


def test_nothing_is_fresh_while_a_restored_database_is_behind_its_log(world, key, superuser):
    feed = following()
    superuser.execute("INSERT INTO audit_interruption (cause, from_leaf, upto_leaf) VALUES ('restored', 1, 2)")
    feed.tick()
    assert feed.is_behind_log
    assert not feed.is_fresh


def test_a_lease_that_somebody_ended_is_not_renewed(world, key, superuser):
    feed = following()
    superuser.execute("UPDATE keys_verifier SET stopped_at = now()")
    feed.tick()
    assert not feed.is_fresh
    feed.tick()
    assert feed.is_fresh
    assert Verifier.objects.filter(stopped_at=None).count() == 1


def test_the_verifier_writes_its_lease_and_no_key(world, key):
    with connections["verifier"].cursor() as cursor, pytest.raises(Exception, match="permission denied"):
        cursor.execute("UPDATE keys_keyversion SET state = 'active'")
    connections["verifier"].rollback()


def test_every_change_is_written_down_by_whoever_makes_it(world, key, superuser):
    managed, version, _ = key
    VerificationChange.objects.all().delete()
    superuser.execute("UPDATE keys_managedkey SET name = name WHERE id = %s", [managed.pk])
    assert VerificationChange.objects.get().managed_key_id == managed.pk
    VerificationChange.objects.all().delete()
    superuser.execute("UPDATE keys_keyversion SET last4 = last4 WHERE id = %s", [version.pk])
    assert VerificationChange.objects.get().managed_key_id == managed.pk
    VerificationChange.objects.all().delete()
    behind_the_back(superuser, "UPDATE keys_environment SET name = name")
    assert VerificationChange.objects.get().managed_key_id is None


def test_a_stop_is_answered_when_a_verifier_has_acknowledged_it(world, key, superuser):
    behind_the_back(superuser, "UPDATE keys_environment SET max_staleness_ms = 60000 WHERE tag = 'prod'")
    feed = following("acknowledging")
    over = threading.Event()

    def follow():
        while not over.is_set():
            feed.tick()
            over.wait(0.02)
        connections.close_all()

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        revoke(world, key[0])
        receipt = stop_with_receipt(key[0], action="revoked")
        assert said(feed, world, key[2]) == Reason.COMPROMISED
    finally:
        over.set()
        thread.join()
    assert [(word["name"], word["how"]) for word in receipt.verifiers] == [("acknowledging", How.ACKNOWLEDGED)]
    assert receipt.answered_at - receipt.committed_at < timedelta(seconds=30), "not only when its lease had ended"


def test_a_stop_waits_for_the_lease_of_a_verifier_that_does_not_answer(world, key, superuser):
    behind_the_back(superuser, "UPDATE keys_environment SET max_staleness_ms = 3000 WHERE tag = 'prod'")
    feed = following("frozen")
    revoke(world, key[0])
    receipt = stop_with_receipt(key[0], action="revoked")
    assert lease.clock() > place_of(feed, world).fresh_until, "it might still have accepted the key"
    assert [word["how"] for word in receipt.verifiers] == [How.LEASE_ENDED]


def test_a_renewed_lease_is_no_acknowledgement(world, key, superuser):
    """A verifier that renews and cannot apply what changed stays one to be waited for."""
    behind_the_back(superuser, "UPDATE keys_environment SET max_staleness_ms = 3000 WHERE tag = 'prod'")
    feed = following("stuck")
    revoke(world, key[0])
    lease.renew(feed.holder, terms=feed.catalogue.terms(), applied=feed.position, entries=1, hears=False)
    receipt = stop_with_receipt(key[0], action="revoked")
    assert [word["how"] for word in receipt.verifiers] == [How.LEASE_ENDED]
    assert receipt.answered_at >= Verifier.objects.get().valid_until


def test_nobody_waits_for_a_verifier_that_is_gone(world, key, superuser):
    behind_the_back(superuser, "UPDATE keys_environment SET max_staleness_ms = 60000 WHERE tag = 'prod'")
    feed = following("gone")
    lease.end(feed.holder.id)
    revoke(world, key[0])
    began = time.monotonic()
    assert stop_with_receipt(key[0], action="revoked").verifiers == []
    assert time.monotonic() - began < 30


def test_versions_that_ended_long_ago_are_forgotten(world, key, superuser):
    revoke(world, key[0])
    behind_the_back(
        superuser,
        "UPDATE keys_keyversion SET expires_at = now() - interval '91 days' WHERE id = %s",
        key[1].pk,
    )
    assert digest(key[2]) not in following().snapshot.entries
    assert KeyVersion.objects.filter(pk=key[1].pk).exists()


def test_an_environment_that_wants_no_memory_has_none(world, key, superuser):
    behind_the_back(superuser, "UPDATE keys_environment SET max_staleness_ms = 0 WHERE tag = 'prod'")
    feed = following()
    assert place_of(feed, world).fresh_until < lease.clock()
    assert place_of(feed, world, "test").fresh_until > lease.clock()
    assert Environment.objects.get(tag="prod").max_staleness_ms == 0


def test_a_verifier_tells_which_keys_of_the_keyring_it_reads(world):
    """Whenever its lease began: rows of a key that it lacks would look forged to it."""
    feed = following()
    reads = list(keyring().key_ids)
    assert Verifier.objects.get(pk=feed.holder.id).reads == reads
    lease.end(feed.holder.id)
    feed.tick()
    feed.tick()
    assert Verifier.objects.get(stopped_at=None).reads == reads
