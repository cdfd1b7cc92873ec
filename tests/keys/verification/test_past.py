"""A position belongs to one past: that of a database which took over counts transactions by the same numbers."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from subprocess import Popen

import psycopg
import pytest

from keys.models import Environment, KeyVersion
from keys.verification.memory import lease
from keys.verification.programs.renewing import LOST, Asked, register, renew_clients
from keys.verification.programs.ringing import Ring, Ringer
from keys.verification.programs.sharing import position_in
from keys.verification.verifier import Binding
from portal import embedded, engines
from portal.layout import Layout, layout_at
from tests.keys.verification.following import following
from tests.people import issued, verifying_credential

ROWS = 100_000  # that its first checkpoint has something to write: as a rule it takes minutes, now and then it is over at once


@pytest.fixture
def layout() -> Iterator[Layout]:
    with tempfile.TemporaryDirectory(prefix="keystead-tests-") as folder:
        Path(folder).chmod(0o755)
        layout = layout_at(folder)
        embedded.prepare_home(layout)
        yield layout


def ended(server: Popen[bytes], sign: signal.Signals = signal.SIGQUIT) -> None:
    server.send_signal(sign)
    server.wait(10)


def told(layout: Layout, *statements: str) -> str:
    with closing(psycopg.connect(layout.conninfo(database="postgres"), autocommit=True)) as connection:
        answer = [connection.execute(each.encode()) for each in statements][-1].fetchone()
        assert answer is not None
        return str(answer[0])


def test_a_database_that_took_over_has_another_past_from_its_first_answer_on(layout):
    programs = engines.postgres_programs(layout_at(os.environ["KEYSTEAD_DATA"]))  # where they are already
    engines.create_cluster(programs, layout.postgres, durable=False)
    with (layout.postgres / "postgresql.conf").open("a") as settings:
        settings.write("bgwriter_lru_maxpages = 0\n")  # which leaves that to the checkpoint
    server = engines.start_postgres(layout, programs, durable=False)
    try:
        before = told(layout, f"CREATE TABLE t AS SELECT generate_series(1, {ROWS})", lease.PAST)
        ended(server)
        standby = layout.postgres / "standby.signal"
        standby.touch()
        os.chown(standby, layout.postgres.stat().st_uid, -1)
        server = engines.start_postgres(layout, programs, durable=False)
        after = told(layout, "SELECT pg_promote()", lease.PAST)
        assert after != before
    finally:
        ended(server)


@pytest.mark.usefixtures("sealing")
def test_a_database_that_took_over_behind_a_pooler_has_everything_read_anew(world):
    feed = following()
    loads = feed.resyncs
    feed.history = "the one before"
    feed.tick()
    assert (feed.resyncs, feed.is_fresh) == (loads + 1, False)
    feed.tick()
    assert (feed.resyncs, feed.is_fresh) == (loads + 1, True)


@pytest.mark.usefixtures("sealing")
def test_a_database_that_takes_over_within_a_renewal_renews_nothing(world, monkeypatch):
    own = KeyVersion.objects.get(kid=verifying_credential(world).reveal().split("_")[2]).managed_key_id
    binding = Binding(service_id=world.orders.pk, environment_id=Environment.objects.get(tag="prod").pk)
    holder = register("orders-api", credential=own, binding=binding)
    assert holder is not None
    asked = Asked(verifier=holder.id, credential=own, applied=position_in(lease.history()[1], "before"))
    monkeypatch.setattr(lease, "read_positions", lambda positions: ("before", dict.fromkeys(positions, False)))
    assert renew_clients([asked]) == [LOST]


@pytest.mark.usefixtures("sealing")
def test_nothing_is_told_across_two_pasts(world):
    rings: list[Ring] = []
    ringer = Ringer(rings.append)
    ringer.look()
    rings.clear()
    ringer._past = "the one before"
    issued(world)
    ringer.look()
    assert not rings
    ringer.look()
    assert [(ring.keys, ring.told) for ring in rings] == [(None, {})], "anything may have changed"
