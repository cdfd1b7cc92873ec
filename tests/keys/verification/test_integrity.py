"""Rows changed behind the operations' back come on record, once."""

import contextlib
import itertools
from types import SimpleNamespace

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection

from audit import clock
from audit.actor import Actor
from audit.models import AuditEvent
from keys.errors import Busy
from keys.jobs.kinds import KINDS
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.renewal import renew_key
from keys.lifecycle.revocation import reinstate_key, revoke_key, suspend_key
from keys.lifecycle.rotation import issue_new_version
from keys.operations import operation
from keys.sealing import mac_holds
from keys.states import RevocationReason
from keys.verification.reasons import Reason
from keys.verification.watching.integrity import Sweep, _written_since, sweep_integrity
from tests.keys.verification.following import behind_the_back
from tests.keys.verification.test_verifier import ask, change_behind_the_back
from tests.people import acting, issued

pytestmark = pytest.mark.usefixtures("sealing")
SWEEP = Actor.job("sweep-integrity")


def test_a_sound_table_gives_no_alert(world):
    issued(world)
    assert Sweep().failures() == []
    assert sweep_integrity(Sweep(), actor=SWEEP) == 0


def test_a_changed_row_is_recorded_once(world, superuser):
    _key, version, _ = issued(world)
    change_behind_the_back(superuser, "UPDATE keys_managedkey SET scopes = '{orders:write}'")
    assert [each.pk for each in Sweep().failures()] == [version.pk]
    assert sweep_integrity(Sweep(), actor=SWEEP) == 1
    assert sweep_integrity(Sweep(), actor=SWEEP) == 0
    event = AuditEvent.objects.with_action("version.integrity-failed").get()
    assert (event.target_id, event.actor_id, event.environment) == (str(version.pk), "sweep-integrity", "prod")


LATER = "UPDATE keys_keyversion SET expires_at = expires_at + interval '1 day' WHERE id = %s"


def test_what_is_written_is_looked_at_next_however_much_there_is(world, superuser, monkeypatch):
    """Nothing is gone through by pieces here, as if there were too many."""
    monkeypatch.setattr("keys.verification.watching.integrity.PIECE", 0.0)
    versions = {place: issued(world, name=f"Changed {place}")[1] for place in ("version", "key", "environment")}
    sweep, looked_at = Sweep(), []
    monkeypatch.setattr(
        "keys.verification.watching.integrity.mac_holds", lambda row: looked_at.append(row.pk) or mac_holds(row)
    )
    assert (sweep.failures(), looked_at) == ([], [])
    behind_the_back(superuser, LATER, versions["version"].pk)
    assert [each.pk for each in sweep.failures()] == [versions["version"].pk] == looked_at
    key = versions["key"].managed_key_id
    behind_the_back(superuser, "UPDATE keys_managedkey SET scopes = '{orders:write}' WHERE id = %s", key)
    assert [each.pk for each in sweep.failures()] == [versions["key"].pk]
    assert sweep.failures() == []
    looked_at.clear()
    behind_the_back(superuser, "UPDATE keys_environment SET max_staleness_ms = 500 WHERE tag = 'prod'")
    sweep.failures()
    assert set(looked_at) == {each.pk for each in versions.values()}, "the tag of its environment is in each MAC"


def test_what_was_not_yet_committed_at_one_look_is_looked_at_by_the_next(world, superuser, monkeypatch):
    monkeypatch.setattr("keys.verification.watching.integrity.PIECE", 0.0)
    version, sweep = issued(world)[1], Sweep()
    sweep.failures()
    change_behind_the_back(superuser, "SELECT 1")
    with superuser.transaction():
        superuser.execute(LATER, [version.pk])
        issued(world, name="Begun later, over before")
        assert sweep.failures() == []
    assert [each.pk for each in sweep.failures()] == [version.pk]


def test_what_is_written_during_a_look_is_looked_at_by_the_next(world, superuser, monkeypatch):
    monkeypatch.setattr("keys.verification.watching.integrity.PIECE", 0.0)
    version, sweep = issued(world)[1], Sweep()
    sweep.failures()

    def look_and_write(transaction):
        seen = _written_since(transaction)
        behind_the_back(superuser, LATER, version.pk)
        return seen

    with monkeypatch.context() as patched:
        patched.setattr("keys.verification.watching.integrity._written_since", look_and_write)
        assert sweep.failures() == []
    assert [each.pk for each in sweep.failures()] == [version.pk]


def test_a_look_that_is_stopped_is_not_in_vain(world, superuser, monkeypatch):
    """Whoever writes an environment writes all its keys: more than fit into a look would be begun again and again."""
    monkeypatch.setattr("keys.verification.watching.integrity.PIECE", 0.0)
    monkeypatch.setattr("keys.verification.watching.integrity._CHUNK", 1)
    versions = [issued(world, name=f"Key {number}")[1] for number in range(3)]
    sweep, left = Sweep(), iter(())
    sweep.failures()

    def slow(row):
        if next(left, None) is None:
            raise SoftTimeLimitExceeded
        return mac_holds(row)

    monkeypatch.setattr("keys.verification.watching.integrity.mac_holds", slow)
    behind_the_back(superuser, "UPDATE keys_environment SET max_staleness_ms = 500 WHERE tag = 'prod'")
    behind_the_back(superuser, LATER, versions[2].pk)
    for _ in range(4):
        left = iter(range(2))  # so many a look has time for; to record one takes another
        with contextlib.suppress(SoftTimeLimitExceeded):
            sweep_integrity(sweep, actor=SWEEP)
    assert AuditEvent.objects.with_action("version.integrity-failed").get().target_id == str(versions[2].pk)
    assert not sweep._written


def test_what_is_written_is_gone_through_for_so_long_and_the_rest_at_the_next_look(world, superuser, monkeypatch):
    ticks = itertools.count(step=20)
    monkeypatch.setattr("keys.verification.watching.integrity.PIECE", 0.0)
    monkeypatch.setattr("keys.verification.watching.integrity._CHUNK", 1)
    monkeypatch.setattr("keys.verification.watching.integrity.time", SimpleNamespace(monotonic=lambda: next(ticks)))
    for number in range(3):
        issued(world, name=f"Key {number}")
    sweep = Sweep()
    sweep.failures()
    behind_the_back(superuser, "UPDATE keys_keyversion SET expires_at = expires_at + interval '1 day'")
    found = [[each.pk for each in sweep.failures()] for _ in range(3)]
    assert [len(each) for each in found] == [2, 1, 0]
    assert len({pk for each in found for pk in each}) == 3


def test_all_is_gone_through_piece_by_piece_and_again(world, superuser, monkeypatch):
    """Also what was changed before anybody looked, or by somebody whose write shows nowhere."""
    ticks = itertools.count(step=6)
    monkeypatch.setattr("keys.verification.watching.integrity._CHUNK", 2)
    monkeypatch.setattr("keys.verification.watching.integrity.time", SimpleNamespace(monotonic=lambda: next(ticks)))
    monkeypatch.setattr("keys.verification.watching.integrity._written_since", lambda _: [])
    versions = sorted(issued(world, name=f"Key {number}")[1].pk for number in range(5))
    behind_the_back(superuser, LATER, versions[3])
    sweep = Sweep()
    found = [[each.pk for each in sweep.failures()] for _ in range(6)]
    assert found == [[], [versions[3]], [], [], [versions[3]], []]


ACTS = {
    "suspended": lambda world, key: suspend_key(key, actor=acting(world.alice, "suspend"), reason="investigation"),
    "revoked": lambda world, key: revoke_key(
        key, actor=acting(world.alice, "revoke"), reason=RevocationReason.SUPERSEDED
    ),
    "replaced": lambda world, key: claim_secret(
        issue_new_version(key, actor=acting(world.alice, "claim")), actor=acting(world.alice, "claim")
    ),
    "renewed": lambda _world, key: extend(key),
}


class Backup:
    """The rows of a key as they are now, to be put back by somebody who owns the database."""

    COLUMNS = {
        "keys_keyversion": "state, retire_at, suspended_at, suspended_reason, suspended_by, ended_at, ended_reason, row_mac",
        "keys_managedkey": "authorised_until, revoked_at, revoked_reason, revoked_by",
    }

    def __init__(self, superuser):
        self.superuser = superuser
        for table in self.COLUMNS:
            superuser.execute(f"CREATE TEMP TABLE {table}_before AS SELECT * FROM {table}")

    def put_back(self):
        for table, columns in self.COLUMNS.items():
            change_behind_the_back(
                self.superuser,
                f"UPDATE {table} t SET ({columns}) = (SELECT {columns} FROM {table}_before b WHERE b.id = t.id)"
                f" WHERE id IN (SELECT id FROM {table}_before)",
            )


@pytest.mark.parametrize("act", ACTS)
def test_an_earlier_valid_row_put_back_is_found_and_verifies_no_more(world, superuser, act):
    """With its own MAC it is as good as any; only the log knows that something happened since."""
    key, version, secret = issued(world)
    backup = Backup(superuser)
    ACTS[act](world, key)
    assert sweep_integrity(Sweep(), actor=SWEEP) == 0
    for time in (1, 2):
        backup.put_back()
        assert ask(world, secret.reveal()) is None, "else this shows nothing"
        assert sweep_integrity(Sweep(), actor=SWEEP) == 1
        assert sweep_integrity(Sweep(), actor=SWEEP) == 0
        assert ask(world, secret.reveal()) == Reason.INTEGRITY_FAILURE
        events = AuditEvent.objects.with_action("version.integrity-failed")
        assert list(events.values_list("target_id", flat=True)) == [str(version.pk)] * time


ODD = {
    "no scope": ("keys_managedkey", "scopes = ARRAY[NULL]::varchar[]"),
    "scopes of scopes": ("keys_managedkey", "scopes = ARRAY[['a', 'b'], ['c', 'd']]::varchar[]"),
    "never": ("keys_keyversion", "expires_at = 'infinity'"),
}


def test_rows_that_cannot_even_be_read_are_found_and_hide_no_other(world, superuser):
    forged, *unreadable = (issued(world, name=f"Key {number}")[:2] for number in range(1 + len(ODD)))
    for (table, columns), (key, version) in zip(ODD.values(), unreadable, strict=True):
        row = key if table == "keys_managedkey" else version
        change_behind_the_back(superuser, f"UPDATE {table} SET {columns} WHERE id = %s", [row.pk])
    change_behind_the_back(superuser, LATER, [forged[1].pk])
    assert sweep_integrity(Sweep(), actor=SWEEP) == 1 + len(ODD)
    assert sweep_integrity(Sweep(), actor=SWEEP) == 0
    events = AuditEvent.objects.with_action("version.integrity-failed")
    assert set(events.values_list("target_id", "environment")) == {
        (str(version.pk), "prod") for _, version in (forged, *unreadable)
    }


MOVES = {
    "limits are lifted": "limits = '{}'",
    "told to be another team's": "owner_team_id = (SELECT id FROM keys_team WHERE slug = 'wallets')",
    "for somebody else to claim": "recipient_id = (SELECT id FROM keys_person WHERE name = 'Mallory')",
}


def test_what_no_mac_covers_is_compared_with_the_log(world, superuser):
    keys = [issued(world, name=move, limits={"requests_per_day": 500}) for move in MOVES]
    assert sweep_integrity(Sweep(), actor=SWEEP) == 0
    for move, (key, _, _) in zip(MOVES.values(), keys, strict=True):
        change_behind_the_back(superuser, f"UPDATE keys_managedkey SET {move} WHERE id = %s", [key.pk])
    assert sweep_integrity(Sweep(), actor=SWEEP) == len(MOVES)
    assert sweep_integrity(Sweep(), actor=SWEEP) == 0
    assert {ask(world, secret.reveal()) for _, _, secret in keys} == {Reason.INTEGRITY_FAILURE}
    told = AuditEvent.objects.with_action("version.integrity-failed").values_list("target_id", flat=True)
    assert set(told) == {str(version.pk) for _, version, _ in keys}


def test_a_version_that_was_made_after_its_key_was_moved_is_found_too(world, superuser):
    """It has a MAC that fits: of the key as it is, a key for tests in production, say."""
    versions = []
    for table in ("environment", "service"):
        key, version, _ = issued(world, name=table)
        elsewhere = f"(SELECT id FROM keys_{table} WHERE id <> {table}_id LIMIT 1)"
        behind_the_back(superuser, f"UPDATE keys_managedkey SET {table}_id = {elsewhere} WHERE id = %s", key.pk)
        key.refresh_from_db()
        moved = claim_secret(
            issue_new_version(key, actor=acting(world.alice, "claim")), actor=acting(world.alice, "claim")
        ).version
        versions += [version, moved]
    assert {each.pk for each in Sweep().failures()} == {each.pk for each in versions}
    assert sweep_integrity(Sweep(), actor=SWEEP) == 4
    versions[3].refresh_from_db()
    assert not mac_holds(versions[3])


def test_one_that_cannot_be_recorded_keeps_no_other_from_its_record_and_has_its_turn_again(
    world, superuser, monkeypatch
):
    """Whoever holds the lock of one key hides neither it nor those after it; no piece comes upon them here."""
    monkeypatch.setattr("keys.verification.watching.integrity.PIECE", 0.0)
    versions = [issued(world, name=f"Key {number}")[1] for number in range(2)]
    sweep = Sweep()
    assert sweep_integrity(sweep, actor=SWEEP) == 0
    behind_the_back(superuser, "UPDATE keys_keyversion SET expires_at = expires_at + interval '1 day'")
    held = sweep.failures()[0]
    sweep._since = 0
    events = AuditEvent.objects.with_action("version.integrity-failed")
    with connection.cursor() as cursor, superuser.transaction():
        superuser.execute("SELECT FROM keys_managedkey WHERE id = %s FOR UPDATE", [held.managed_key_id])
        cursor.execute("SET lock_timeout = '50ms'")
        with pytest.raises(Busy):
            sweep_integrity(sweep, actor=SWEEP)
        cursor.execute("RESET lock_timeout")
        assert set(events.values_list("target_id", flat=True)) == {str(each.pk) for each in versions} - {str(held.pk)}
    assert sweep_integrity(sweep, actor=SWEEP) == 1
    assert events.filter(target_id=str(held.pk)).exists()


def test_rows_that_a_restore_left_behind_their_events_are_no_forgeries(world, superuser):
    key, _, _ = issued(world)
    backup = Backup(superuser)
    ACTS["suspended"](world, key)
    backup.put_back()
    superuser.execute("INSERT INTO audit_interruption (cause, from_leaf, upto_leaf) VALUES ('restored', 1, 2)")
    assert sweep_integrity(Sweep(), actor=SWEEP) == 0


def test_who_is_alarmed_is_alarmed_within_a_minute():
    """At the latest a period after the change, and as long as the job may take."""
    kind = KINDS["keys.check_integrity"]
    assert max(kind.period, kind.longest) + kind.wake <= 60


def test_no_operation_makes_a_changed_row_sound_again(world, superuser):
    """Suspending and reinstating, or renewing, must not put a fresh MAC under forged scopes."""
    key, version, secret = issued(world)
    change_behind_the_back(superuser, "UPDATE keys_managedkey SET scopes = scopes || '{orders:write}'")
    suspend_key(key, actor=acting(world.alice, "suspend"), reason="investigation")
    reinstate_key(key, actor=acting(world.admin, "reinstate"))
    assert ask(world, secret.reveal()) == Reason.INTEGRITY_FAILURE
    extend(key)
    assert ask(world, secret.reveal()) == Reason.INTEGRITY_FAILURE
    revoke_key(key, actor=acting(world.alice, "revoke"), reason=RevocationReason.KEY_COMPROMISE)
    version.refresh_from_db()
    assert version.state == "compromised"
    assert ask(world, secret.reveal()) == Reason.INTEGRITY_FAILURE


def test_a_renewed_key_stays_sound(world):
    key, _, secret = issued(world)
    extend(key)
    assert ask(world, secret.reveal()) is None
    assert Sweep().failures() == []


@operation
def renew(key, *, actor):
    key.refresh_from_db()
    renew_key(
        key,
        request=key.request,
        opens=(tuple(key.scopes), tuple(key.networks)),
        cryptoperiod_days=key.cryptoperiod_days,
        authorised_days=200,
        actor=actor,
        at=clock.now(),
    )


def extend(key):
    renew(key, actor=Actor.system("tests"))
