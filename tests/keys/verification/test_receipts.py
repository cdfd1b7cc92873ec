"""A stop is answered only when no verifier can accept the key: whatever of before may still hold, and whoever cannot be asked."""

from __future__ import annotations

import time

import pytest
from django.db import OperationalError

from keys.lifecycle.revocation import revoke_key
from keys.models import Environment, VerificationChange, Verifier
from keys.states import RevocationReason
from keys.verification.memory import lease
from keys.verification.watching import receipts
from keys.verification.watching.receipts import How, stop_with_receipt
from tests.keys.verification.following import behind_the_back, following, place_of
from tests.people import acting, issued

pytestmark = pytest.mark.usefixtures("sealing")
STALENESS = "UPDATE keys_environment SET max_staleness_ms = %s WHERE tag = 'prod'"
# Milliseconds: it is waited for to its end, and must not be over before somebody waits; and one whose end nobody waits for.
SHORT, LONG = 3000, 60_000
AT_ONCE = 30  # seconds: before a long lease ends, however busy the machine is


@pytest.fixture
def key(world):
    return issued(world)[0]


def revoke(world, key):
    revoke_key(key, actor=acting(world.responder, "revoke"), reason=RevocationReason.KEY_COMPROMISE)


def test_a_longer_lease_of_before_is_waited_for_though_a_shorter_one_was_begun(world, key, superuser):
    """The shorter one binds the verifier only after the look under it, and that may fail or hang."""
    behind_the_back(superuser, STALENESS, SHORT)
    feed = following("half way")
    answers_until = place_of(feed, world).fresh_until
    behind_the_back(superuser, STALENESS, 200)
    shorter = {Environment.objects.get(tag="prod").pk: 200}
    lease.renew(feed.holder, terms=shorter, applied=feed.position, entries=0, hears=False)
    revoke(world, key)
    receipt = stop_with_receipt(key, action="revoked")
    assert lease.clock() > answers_until, "it might still have accepted the key"
    assert [word["how"] for word in receipt.verifiers] == [How.LEASE_ENDED]


def test_a_lease_of_before_is_kept_only_while_it_runs(world, superuser):
    behind_the_back(superuser, STALENESS, LONG)
    feed = following("shorter now")
    place = str(Environment.objects.get(tag="prod").pk)
    shorter = {Environment.objects.get(tag="prod").pk: 100}
    lease.renew(feed.holder, terms=shorter, applied=feed.position, entries=0, hears=False)
    assert 100 < Verifier.objects.get().terms[place] <= LONG
    behind_the_back(superuser, "UPDATE keys_verifier SET renewed_at = renewed_at - interval '1 minute'")
    lease.renew(feed.holder, terms=shorter, applied=feed.position, entries=0, hears=False)
    assert Verifier.objects.get().terms[place] == 100


def test_no_lease_is_longer_than_the_longest(world, superuser):
    """Whoever cannot read the leases waits for the longest: so there has to be one, whatever an environment says."""
    behind_the_back(superuser, STALENESS, 3_600_000)
    feed = following("greedy")
    row = Verifier.objects.get(pk=feed.holder.id)
    assert (row.valid_until - row.renewed_at).total_seconds() <= lease.LONGEST
    assert place_of(feed, world).fresh_until - lease.clock() < lease.LONGEST


def unreadable_after(monkeypatch, times):
    """Let the leases be read so often, and then never again."""
    read, left = receipts.bound_cursor, [times]

    def cursor():
        if left[0] == 0:
            raise OperationalError("the database went away")
        left[0] -= 1
        return read()

    monkeypatch.setattr(receipts, "bound_cursor", cursor)


def test_where_the_leases_cannot_be_read_the_longest_that_may_run_is_waited_for(world, key, superuser, monkeypatch):
    """What the environment says today is no measure: it may have been longer a moment ago."""
    behind_the_back(superuser, STALENESS, 600)
    feed = following("unasked")
    behind_the_back(superuser, STALENESS, 100)
    revoke(world, key)
    key.environment.refresh_from_db()
    monkeypatch.setattr(lease, "LONGEST", 0.6)
    unreadable_after(monkeypatch, 0)
    began = lease.clock()
    stop_with_receipt(key, action="revoked")
    assert lease.clock() > max(began + 0.6, place_of(feed, world).fresh_until)


def test_leases_that_were_read_once_are_waited_for_though_the_database_went_away(world, key, superuser, monkeypatch):
    behind_the_back(superuser, STALENESS, SHORT)
    feed = following("read once")
    revoke(world, key)
    unreadable_after(monkeypatch, 1)
    began = time.monotonic()
    words = stop_with_receipt(key, action="revoked").verifiers
    assert lease.clock() > place_of(feed, world).fresh_until
    assert time.monotonic() - began < AT_ONCE, "not longer than the lease that was read"
    assert [(word["name"], word["how"]) for word in words] == [("read once", How.LEASE_ENDED)]


def test_a_database_that_comes_back_is_asked_again(world, key, superuser, monkeypatch):
    behind_the_back(superuser, STALENESS, LONG)
    feed = following("patient")
    revoke(world, key)
    feed.tick()  # reads the stop
    feed.tick()  # and says so
    read, failures = receipts.bound_cursor, iter([True, True])

    def cursor():
        if next(failures, False):
            raise OperationalError("the database starts")
        return read()

    monkeypatch.setattr(receipts, "bound_cursor", cursor)
    began = time.monotonic()
    assert [word["how"] for word in stop_with_receipt(key, action="revoked").verifiers] == [How.ACKNOWLEDGED]
    assert time.monotonic() - began < AT_ONCE


def test_a_stop_of_which_no_change_is_known_is_acknowledged_by_nobody(world, key, superuser):
    """Such as one that was made long ago: who has it cannot be told by what is not there."""
    behind_the_back(superuser, STALENESS, SHORT)
    feed = following("asked too late")
    revoke(world, key)
    VerificationChange.objects.all().delete()
    receipt = stop_with_receipt(key, action="revoked")
    assert lease.clock() > place_of(feed, world).fresh_until
    assert [word["how"] for word in receipt.verifiers] == [How.LEASE_ENDED]


def test_a_stop_is_followed_for_longer_than_five_minutes(world, key, superuser):
    """A worker that comes late finds the change all the same, and needs not wait for leases to end."""
    behind_the_back(superuser, STALENESS, LONG)
    feed = following("followed")
    revoke(world, key)
    superuser.execute("UPDATE keys_verificationchange SET at = at - interval '2 hours'")
    feed.tick()
    feed.tick()
    began = time.monotonic()
    assert [word["how"] for word in stop_with_receipt(key, action="revoked").verifiers] == [How.ACKNOWLEDGED]
    assert time.monotonic() - began < AT_ONCE
