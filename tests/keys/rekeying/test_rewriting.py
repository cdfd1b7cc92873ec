"""What older keys made is written anew: whole, once, past kills and others at work, and never what somebody forged."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.test import Client

from audit import clock
from audit.actor import Actor
from audit.models import AuditEvent
from keys.lifecycle.revocation import reinstate_key, suspend_key
from keys.models import KeyVersion, ManagedKey, TotpDevice, VerificationChange
from keys.people.calendar_feeds import find_feed, make_feed, note_reading, remove_feed
from keys.people.proofs import Proof, prove_recovery_code
from keys.people.recovery_codes import make_recovery_codes
from keys.rekeying import rewriting
from keys.rekeying.naming import rows_by_key
from keys.rekeying.rewriting import rewrite
from keys.rekeying.steps import PURPOSES, add_keys, forget_key, promote_keys, read_ring
from keys.sealing import mac_holds, open_secret
from keys.states import SuspensionReason
from keys.verification.reasons import Reason
from keys.verification.watching.integrity import Sweep
from keys.verification.watching.retelling import Retelling
from keys.webhooks.endpoints import rotate_endpoint_secret
from keys.webhooks.secrets import open_secrets
from tests.accounts import BROWSER, joined, self_of, token_of
from tests.forks import Fork
from tests.keys.verification.test_verifier import ask, change_behind_the_back
from tests.keys.webhooks.test_endpoints import endpoint_of
from tests.people import World, acting, issued
from tests.signing_keys import allow_signing, signer_of

SHELL = Actor.operator("root")
REWRITTEN = ("row-mac", "kek-development", "kek-test", "kek-production", "kek-people")
pytestmark = pytest.mark.usefixtures("sealing", "ring_file")


def rotate(*purposes: str) -> dict[str, str]:
    """Add and promote; returns the keys of before."""
    before = {purpose: read_ring().primary(purpose).id for purpose in purposes}
    add_keys(purposes, actor=SHELL)
    promote_keys(purposes, actor=SHELL)
    return before


def quietly(kind: str, written: int) -> None:
    """Tell nobody."""


def test_after_a_rewrite_nothing_needs_the_old_keys(world: World) -> None:
    key, version, secret = issued(world)
    allow_signing(world)
    signer = signer_of(world, "hmac-sha256", name="Signs")
    endpoint = endpoint_of(world)
    rotate_endpoint_secret(endpoint, actor=acting(world.alice, "webhooks"))
    sweep, retelling = Sweep(), Retelling()
    assert sweep.failures() == []
    assert retelling.tell_again() == 0
    endpoint.refresh_from_db()
    webhook_secrets = [each.reveal() for each in open_secrets(endpoint, at=clock.now())]
    before = rotate(*REWRITTEN)
    assert rows_by_key()[before["kek-people"]] == TotpDevice.objects.count() + len(webhook_secrets)
    position = VerificationChange.objects.order_by("-id").values_list("id", flat=True)[0]
    done = rewrite(actor=SHELL, told=quietly)
    counted = rows_by_key()
    assert {counted[old] for old in before.values()} == {0}
    for purpose, old in before.items():
        assert forget_key(purpose, old, actor=SHELL) == 0
    assert ask(world, secret.reveal()) is None
    stored = KeyVersion.objects.get(pk=signer.version.pk)
    opened = open_secret(stored.sealed_secret, version_id=stored.pk, kid=stored.kid, environment="prod")
    assert opened.reveal() == signer.secret
    endpoint.refresh_from_db()
    assert [each.reveal() for each in open_secrets(endpoint, at=clock.now())] == webhook_secrets
    assert len(webhook_secrets) == 2
    assert sweep.failures() == []
    assert retelling.tell_again() == 0
    changes = VerificationChange.objects.filter(id__gt=position)
    assert {key.pk, signer.key.pk} <= set(changes.values_list("managed_key_id", flat=True)), "verifiers read them again"
    event = AuditEvent.objects.get(action="keyring.rewritten")
    assert done["versions"].written == KeyVersion.objects.count()
    assert b'"left":0' in bytes(event.payload)
    assert version.pk in {each.pk for each in KeyVersion.objects.all() if mac_holds(each)}


def test_a_shared_secret_follows_its_kek_alone(world: World) -> None:
    allow_signing(world)
    version = signer_of(world, "hmac-sha256").version
    before = rotate("kek-production")["kek-production"]
    assert rewrite(actor=SHELL, told=quietly)["versions"].written == 1
    stored = KeyVersion.objects.select_related("managed_key__environment").get(pk=version.pk)
    assert before in version.sealed_secret
    assert before not in stored.sealed_secret
    assert mac_holds(stored)


def test_a_secret_that_nothing_opens_any_more_makes_no_row_look_forged(world: World) -> None:
    """Its KEK was forgotten too early: the key is lost, but nobody has changed its row."""
    allow_signing(world)
    version = signer_of(world, "hmac-sha256").version
    before = rotate("row-mac", "kek-production")
    forget_key("kek-production", before["kek-production"], actor=SHELL, even_so=True)
    assert rewrite(actor=SHELL, told=quietly)["versions"].written == KeyVersion.objects.count()
    forget_key("row-mac", before["row-mac"], actor=SHELL)
    stored = KeyVersion.objects.select_related("managed_key__environment").get(pk=version.pk)
    assert mac_holds(stored)
    assert stored.sealed_secret == version.sealed_secret


def test_a_forged_row_is_left_as_it_is(world: World, superuser: Any) -> None:
    forged, sound = issued(world, name="Forged"), issued(world, name="Sound")
    change_behind_the_back(
        superuser, "UPDATE keys_keyversion SET expires_at = expires_at + interval '1 day' WHERE id = %s", [forged[1].pk]
    )
    mac = KeyVersion.objects.get(pk=forged[1].pk).row_mac
    before = rotate("row-mac")
    done = rewrite(actor=SHELL, told=quietly)["versions"]
    assert (done.left, done.held) == (1, 0)
    assert KeyVersion.objects.get(pk=forged[1].pk).row_mac == mac
    assert rows_by_key()[before["row-mac"]] == 1
    forget_key("row-mac", before["row-mac"], actor=SHELL, even_so=True)
    assert ask(world, forged[2].reveal()) == Reason.INTEGRITY_FAILURE
    assert ask(world, sound[2].reveal()) is None


def test_what_a_forged_row_says_of_its_key_does_not_reach_a_terminal(world: World, superuser: Any, capsys: Any) -> None:
    version = issued(world)[1]
    change_behind_the_back(
        superuser, "UPDATE keys_keyversion SET row_mac = %s WHERE id = %s", ["hmac-sha256:\x1b[2J:00", version.pk]
    )
    call_command("keyring", "status")
    assert "absent          1 rows" in (told := capsys.readouterr().out)
    assert r"\x1b[2J" in told


@pytest.mark.parametrize("columns", ["expires_at = 'infinity'", "sealed_secret = 'ks1$A256GCM$A256GCMKW$kek$AA$AA$AA'"])
def test_a_row_that_cannot_be_read_keeps_no_other_from_the_new_key(world: World, superuser: Any, columns: str) -> None:
    keys = [issued(world, name=f"Key {number}") for number in range(3)]
    change_behind_the_back(superuser, f"UPDATE keys_keyversion SET {columns} WHERE id = %s", [keys[1][1].pk])
    before = rotate("row-mac")
    done = rewrite(actor=SHELL, told=quietly)["versions"]
    assert (done.left, done.held) == (1, 0)
    assert rows_by_key()[before["row-mac"]] == 1


def killed_after(lots: int, path: str) -> None:
    """Rewrite in this process until so many lots are written, and be killed there."""
    settings.KEYSTEAD_KEYRING_FILE = path
    left = lots

    def told(_kind: str, _written: int) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    rewriting.LOT = 1
    rewrite(actor=SHELL, told=told)


def test_who_is_killed_goes_on_where_it_ended(world: World, ring_file: Path) -> None:
    for number in range(4):
        issued(world, name=f"Key {number}")
    before = rotate(*REWRITTEN)
    count = KeyVersion.objects.count()
    for lots in (1, 2):
        assert Fork(killed_after, lots, str(ring_file)).ended() == -signal.SIGKILL
    assert rows_by_key()[before["row-mac"]] == count - 3
    assert all(mac_holds(each) for each in KeyVersion.objects.all())
    assert Sweep().failures() == []
    assert rewrite(actor=SHELL, told=quietly)["versions"].written == count - 3
    assert rewrite(actor=SHELL, told=quietly)["versions"].written == 0
    assert AuditEvent.objects.filter(action="keyring.rewrite-begun").count() == 4


@contextmanager
def held(key: ManagedKey) -> Iterator[Callable[[], None]]:
    """Let somebody else hold the row of a key until the end, or until what is given is called."""
    with holding("SELECT id FROM keys_managedkey WHERE id = %s FOR UPDATE", [key.pk]) as end:
        yield end


@contextmanager
def holding(statement: str, parameters: Sequence[object] = ()) -> Iterator[Callable[[], None]]:
    took, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(statement, parameters)
                took.set()
                let_go.wait(30)
        finally:
            connections.close_all()

    def end() -> None:
        let_go.set()
        holder.join()

    holder = threading.Thread(target=hold)
    holder.start()
    assert took.wait(30)
    try:
        yield end
    finally:
        end()


def test_what_somebody_holds_is_told_and_written_the_next_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewriting, "_PAUSE", 0.0)
    key, other = issued(world, name="Held")[0], issued(world, name="Other")[1]
    rotate("row-mac")
    with held(key):
        assert rewrite(actor=SHELL, told=quietly)["versions"].held == key.versions.count()
    other.refresh_from_db()
    assert mac_holds(other)
    done = rewrite(actor=SHELL, told=quietly)["versions"]
    assert (done.written, done.held) == (key.versions.count(), 0)


def test_a_table_that_is_locked_for_a_moment_ends_no_rewrite(world: World) -> None:
    """An index that is built, say: what was written before stands, and so do the other kinds."""
    issued(world)
    before = rotate("row-mac", "kek-people")
    with holding("LOCK TABLE keys_keyversion IN SHARE ROW EXCLUSIVE MODE") as end:
        done = rewrite(actor=SHELL, told=lambda *_: end())
    assert (done["versions"].held, done["seeds"].written) == (0, TotpDevice.objects.count())
    assert {rows_by_key()[old] for old in before.values()} == {0}


def test_what_somebody_held_for_a_moment_is_come_back_to(world: World) -> None:
    key = issued(world)[0]
    before = rotate("row-mac")
    with held(key) as end:
        rewrite(actor=SHELL, told=lambda *_: end())
    assert rows_by_key()[before["row-mac"]] == 0


def test_operations_at_the_same_time_and_the_rewrite_lose_nothing_of_each_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewriting, "LOT", 2)
    keys = [issued(world, name=f"Key {number}")[0] for number in range(5)]
    before = rotate("row-mac")
    admin = acting(world.admin, "*")
    over, failed = threading.Event(), list[Exception]()

    def change() -> None:
        try:
            for _ in range(3):
                for key in keys:
                    suspend_key(key, actor=admin, reason=SuspensionReason.INVESTIGATION)
                    reinstate_key(key, actor=acting(world.admin2, "*"))
        except Exception as error:
            failed.append(error)
        finally:
            over.set()
            connections.close_all()

    changer = threading.Thread(target=change)
    changer.start()
    while not over.is_set():
        rewrite(actor=SHELL, told=quietly)
    changer.join()
    assert failed == []
    rewrite(actor=SHELL, told=quietly)
    assert rows_by_key()[before["row-mac"]] == 0
    assert {version.state for version in KeyVersion.objects.filter(managed_key__in=keys)} == {"active"}
    assert Sweep().failures() == []


def test_people_sign_in_with_what_they_have_across_a_whole_rotation(world: World) -> None:
    nora = joined("nora")
    client = nora.signs_in()
    codes = make_recovery_codes(nora.person, actor=nora.actor("factors"))
    before = rotate(*PURPOSES)
    assert rewrite(actor=SHELL, told=quietly)["seeds"].written == TotpDevice.objects.count()
    forget_key("kek-people", before["kek-people"], actor=SHELL)
    counted = rows_by_key()
    assert (counted[before["pepper"]], counted[before["session-hash"]]) == (len(codes), 1), (
        "they follow as they are used"
    )
    assert client.get("/").status_code == 200, "who is signed in stays so"
    nora.signs_in(Client(headers=BROWSER))
    proof = prove_recovery_code(nora.person, actor=self_of(nora.person), code=codes[0].reveal())
    assert isinstance(proof, Proof)


def test_the_address_of_a_calendar_follows_when_it_is_read(world: World) -> None:
    fresh = make_feed(world.alice, actor=acting(world.alice, "*"))
    token = token_of(fresh.link).removesuffix(".ics")
    before = rotate("session-hash")["session-hash"]
    feed = find_feed(token)
    assert feed is not None
    assert rows_by_key()[before] == 1
    note_reading(feed, token, at=clock.now())
    assert rows_by_key()[before] == 0
    assert find_feed(token) == feed
    remove_feed(feed, actor=acting(world.alice, "*"))
    note_reading(feed, token, at=clock.now() + timedelta(hours=2))  # it was found before, and is noted after
    assert find_feed(token) is None
