"""The reader of the log misses nothing, reads nothing that is not sealed, and can be sent back."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from audit import clock
from audit.actor import Actor
from audit.log import record
from audit.models import AuditEvent, AuditLeaf
from keys.dispatch.cursor import Told, lag_of, read_all, read_on
from keys.dispatch.failures import PAUSES, unanswered
from keys.dispatch.moving import move_reader_back
from keys.errors import Denied, Invalid
from keys.events import RequestNudged
from keys.models import DispatchCursor, FailedReaction
from portal import embedded
from portal.engines import postgres_programs
from portal.layout import layout_at
from tests.people import World, acting
from tests.sealers import SealingThread

ROOT = Path(__file__).resolve().parents[3]
WRITER = Actor.system("tests")
Superuser = psycopg.Connection[tuple[Any, ...]]


def write(*names: str) -> None:
    for name in names:
        with transaction.atomic():
            record(RequestNudged(target_id=name), actor=WRITER, at=clock.now())


class Reader:
    """Remembers what it was told; fails at the names in `failing_at`."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.failing_at: set[str] = set()

    def __call__(self, told: Told) -> None:
        if told.target_id in self.failing_at:
            raise RuntimeError(told.target_id)
        if told.action == "request.nudged":
            self.seen.append(told.target_id)


@pytest.fixture
def reader() -> Reader:
    return Reader()


def test_only_what_is_sealed_is_read_in_the_order_of_its_leaves(sealing: SealingThread, reader: Reader) -> None:
    write("a", "b")
    sealing.settle()
    sealing.stop()
    write("c")
    read_all("r", (reader,))
    assert reader.seen == ["a", "b"]
    assert (lag_of("r").leaves, lag_of("r").unsealed) == (0, 1)
    sealing.start().settle()
    assert (lag_of("r").leaves, lag_of("r").unsealed) == (1, 0)
    read_all("r", (reader,))
    assert reader.seen == ["a", "b", "c"]
    assert lag_of("r").leaves == 0
    assert DispatchCursor.objects.get(reader="r").next_leaf == AuditLeaf.objects.count()


def test_an_event_of_an_open_transaction_is_not_missed(sealing: SealingThread, reader: Reader) -> None:
    """A transaction that began first commits last: "id greater than the last" would have skipped it."""
    began, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        with transaction.atomic():
            record(RequestNudged(target_id="slow"), actor=WRITER, at=clock.now())
            began.set()
            go_on.wait(60)
        connection.close()

    thread = threading.Thread(target=slow)
    thread.start()
    assert began.wait(60)
    write("fast")
    sealing.settle()
    read_all("r", (reader,))
    assert reader.seen == ["fast"]
    go_on.set()
    thread.join()
    sealing.settle()
    read_all("r", (reader,))
    assert reader.seen == ["fast", "slow"]


def test_an_event_that_cannot_be_reacted_to_holds_up_nobody_and_comes_again(
    sealing: SealingThread, reader: Reader
) -> None:
    write("a", "b", "c")
    sealing.settle()
    reader.failing_at = {"b"}
    wrote: list[str] = []

    def writing(told: Told) -> None:
        wrote.append(told.target_id)
        FailedReaction.objects.create(
            reader="of a reaction", leaf=told.leaf, first_at=clock.now(), next_attempt_at=clock.now(), error=""
        )

    read_all("r", (writing, reader))
    assert reader.seen == ["a", "c"]
    assert lag_of("r").leaves == 0
    row = FailedReaction.objects.get(reader="r")
    assert (row.failures, row.error) == (1, "builtins.RuntimeError")
    assert not FailedReaction.objects.filter(reader="of a reaction", leaf=row.leaf).exists(), "what it wrote is undone"
    read_all("r", (reader,))
    assert FailedReaction.objects.get(reader="r").failures == 1, "not before its time"
    for failures in (2, 3):
        FailedReaction.objects.update(next_attempt_at=clock.now())
        read_all("r", (reader,))
        row.refresh_from_db()
        assert row.failures == failures
        assert row.next_attempt_at - clock.now() > PAUSES[failures - 1] - timedelta(seconds=5)
    assert unanswered() == 1
    reader.failing_at = set()
    FailedReaction.objects.update(next_attempt_at=clock.now())
    read_all("r", (reader,))
    assert reader.seen == ["a", "c", "b"]
    assert not FailedReaction.objects.filter(reader="r").exists()
    read_all("r", (reader,))
    assert reader.seen == ["a", "c", "b"]


def test_two_workers_do_not_read_the_same(sealing: SealingThread, reader: Reader) -> None:
    write(*map(str, range(50)))
    sealing.settle()
    inside, go_on = threading.Event(), threading.Event()

    def waiting(_told: Told) -> None:
        inside.set()
        go_on.wait(60)

    def first() -> None:
        read_on("r", (reader, waiting))
        connection.close()

    DispatchCursor.objects.create(reader="r")
    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(60)
    assert read_on("r", (reader,)) == 0
    go_on.set()
    thread.join()
    assert sorted(reader.seen, key=int) == list(map(str, range(50)))


def test_a_reader_is_sent_back_at_the_shell_and_on_record(
    sealing: SealingThread, reader: Reader, capsys: pytest.CaptureFixture[str]
) -> None:
    write("a", "b")
    sealing.settle()
    read_all("r", (reader,))
    place = DispatchCursor.objects.get(reader="r").next_leaf
    call_command("move_reader", "r", to_leaf=place - 1, reason="a test of replaying")
    sealing.settle()
    read_all("r", (reader,))
    assert reader.seen == ["a", "b", "b"]
    event = AuditEvent.objects.get(action="reader.moved")
    assert event.envelope()["details"] == {"from_leaf": place, "to_leaf": place - 1}
    assert event.actor_type == "operator"
    call_command("move_reader")
    assert "r: next leaf" in capsys.readouterr().out
    with pytest.raises(CommandError, match="Which reader"):
        call_command("move_reader", to_leaf=0, reason="a test of replaying")


@pytest.mark.parametrize("to_leaf", [-1, 999])
def test_a_reader_never_goes_forward(sealing: SealingThread, reader: Reader, to_leaf: int) -> None:
    write("a")
    sealing.settle()
    read_all("r", (reader,))
    with pytest.raises(Invalid):
        move_reader_back("r", to_leaf=to_leaf, actor=Actor.operator("root"), reason="a test of replaying")
    with pytest.raises(CommandError, match="to_leaf"):
        call_command("move_reader", "r", to_leaf=to_leaf, reason="a test of replaying")
    with pytest.raises(CommandError, match=r"reader: This is not one of the choices\. \(.*r\)"):
        call_command("move_reader", "nobody", to_leaf=0, reason="a test of replaying")
    assert not AuditEvent.objects.filter(action="reader.moved").exists()


def test_people_do_not_move_readers(world: World) -> None:
    with pytest.raises(Denied, match="shell_only"):
        move_reader_back("notices", to_leaf=0, actor=acting(world.admin, "*"), reason="a test of replaying")
    assert AuditEvent.objects.filter(action="access.denied").count() == 1


RESTORED = """
import django
django.setup()
from django.db import connection
from audit.models import AuditEvent
from keys.dispatch.cursor import read_all
seen = []
read_all("r", (lambda told: seen.append(told.target_id),))
with connection.cursor() as cursor:
    cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
    oldest = cursor.fetchone()[0]
print(AuditEvent.objects.filter(target_id="after").get().txid > oldest, ",".join(seen))
"""


def test_a_dump_restored_into_another_cluster_is_read_on(
    sealing: SealingThread, reader: Reader, superuser: Superuser, tmp_path: Path
) -> None:
    """Its events carry transaction numbers that the new cluster has yet to reach; a reader of those would see nothing."""
    write("before")
    sealing.settle()
    read_all("r", (reader,))
    superuser.execute("DO $$ BEGIN FOR i IN 1..20000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$")
    write("after")
    sealing.settle()
    here, there = layout_at(os.environ["KEYSTEAD_DATA"]), layout_at(tmp_path / "there")
    programs, dump = postgres_programs(here), tmp_path / "dump"
    name = settings.DATABASES["default"]["NAME"]
    subprocess.run([programs / "pg_dump", "-Fc", "-f", dump, here.conninfo(database=name)], check=True)
    tmp_path.chmod(0o755)
    with embedded.Engines(there, with_valkey=False, durable=False):
        subprocess.run([programs / "pg_restore", "--clean", "--if-exists", "-d", there.conninfo(), dump], check=True)
        told = subprocess.run(
            [sys.executable, "-c", RESTORED],
            cwd=ROOT,
            env=os.environ | {"DATABASE_URL": there.database_url("keystead_application")},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert told.stdout.split() == ["True", "after"], told.stderr
