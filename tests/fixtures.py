"""Give tests what they ask for by name: a database, a sealer, a site, the people of the world."""

import os
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import redis

from portal import embedded
from tests import stage
from tests.engines import database_name, layout_of_worker
from tests.engines import superuser as connect_as_superuser
from tests.servers import PortalServer

if TYPE_CHECKING:
    from tests.people import World
    from tests.sealers import SealingThread

DAY, LAST_MINUTE = 86_400, 60  # seconds


@pytest.fixture(scope="session")
def django_db_setup() -> None:
    """Leave the database alone: it was copied from the template before Django started."""


@pytest.fixture
def committed_db(django_db_setup: None, django_db_blocker: "pytest.FixtureRequest") -> Iterator[None]:
    """Let commits be real; the next test that uses the database finds it as if there had been none."""
    from django.db import connections

    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        yield
        connections.close_all()


@pytest.fixture
def sealing(committed_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Iterator[SealingThread]":
    """Let a real sealer seal what the test commits; without it a committed claim is refused, as in life."""
    from tests.sealers import SealingThread

    # Like the cluster, what is sealed here may be lost with the machine; and a claim looks more often whether it is sealed.
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
    monkeypatch.setattr("audit.checkpoints.POLL_SECONDS", 0.01)
    # Nor is a claim refused because the machine held the sealer up for longer than people would wait.
    for place in ("claiming", "fetching"):
        monkeypatch.setattr(f"keys.lifecycle.{place}.SEALED_WITHIN_SECONDS", 60.0)
    thread = SealingThread(tmp_path / "sealer").start()
    thread.settle()  # the template's events are older than the log may be behind
    yield thread
    thread.stop()


@pytest.fixture(autouse=True)
def _sealer_answered_for(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer in place of the sealer for tests that run none: it keeps up, and what is never committed counts as sealed."""
    from tests.sealers import answer_for_the_sealer

    if "sealing" not in request.fixturenames:
        answer_for_the_sealer(monkeypatch, everything="committed_db" not in request.fixturenames)


@pytest.fixture(autouse=True)
def _cheap_guesses(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords and recovery codes by the same ways for a hundredth of the cost, but where the cost is the matter."""
    from django.contrib.auth.hashers import Argon2PasswordHasher

    from keys.crypto import slow_hash

    if request.node.get_closest_marker("real_costs") is None:
        for name, value in (("time_cost", 1), ("memory_cost", 8), ("parallelism", 1)):
            monkeypatch.setattr(Argon2PasswordHasher, name, value)
        monkeypatch.setattr(slow_hash, "COSTS", slow_hash.Costs(memory=8, time=1, lanes=1))


@pytest.fixture
def superuser() -> "Iterator[psycopg.Connection[tuple[object, ...]]]":
    """Give a connection that no grant or trigger of the application holds back."""
    with connect_as_superuser(database_name()) as connection:
        yield connection


@pytest.fixture
def engines() -> embedded.Engines:
    """Give the engines of this run: whoever stops one starts it again."""
    assert stage.engines is not None
    return stage.engines


@pytest.fixture
def valkey() -> Iterator["redis.Redis"]:
    """Give this worker's own, empty Valkey database."""
    with closing(redis.Redis.from_url(os.environ["REDIS_URL"])) as client:
        client.flushdb()
        yield client
        client.flushdb()


@pytest.fixture
def one_day() -> None:
    """Let the test fall into one day of UTC: in the last minute it waits for the next, in which quotas begin anew."""
    left = DAY - time.time() % DAY
    if left < LAST_MINUTE:
        time.sleep(left)


@pytest.fixture
def settled_nonces(committed_db: None, valkey: "redis.Redis") -> "redis.Redis":
    """Let nonces have been remembered for an hour, as in an installation that runs; gives the Valkey that remembers."""
    from tests.signing_keys import settle_nonces

    settle_nonces(valkey)
    return valkey


@pytest.fixture(scope="session")
def _portal_process() -> Iterator[PortalServer]:
    server = PortalServer(layout_of_worker()).start()
    yield server
    server.stop()


@pytest.fixture
def portal_server(_portal_process: PortalServer, sealing: "SealingThread") -> PortalServer:
    """Give a gunicorn on a loopback port that serves this worker's committed database, with a sealer beside it."""
    _portal_process.ensure_running()
    return _portal_process


@pytest.fixture(scope="session")
def worlds() -> "Callable[[], World]":
    """Give the people and services that are in the database of every test that asks for them."""
    assert stage.inhabited is not None
    made = stage.inhabited.world
    return lambda: pickle.loads(made)


@pytest.fixture
def world(request: pytest.FixtureRequest) -> "World":
    """Give the people and services of tests/people.py; in a committed database when the test asked for one."""
    from django.db import connection

    made: Callable[[], World] = request.getfixturevalue("worlds")
    if "committed_db" in request.fixturenames:
        request.getfixturevalue("committed_db")
        return made()
    if stage.database is not None and not stage.in_a_transaction():
        stage.find(stage.database.plain)  # nobody may have told before the test that it would ask for the world
    # In the test's own transaction: the guards look there for the event of whatever a test writes past the operations.
    request.getfixturevalue("db")
    assert stage.inhabited is not None
    with connection.cursor() as cursor:
        cursor.execute(stage.inhabited.script)
    return made()


@pytest.fixture
def ring_file(settings: Any, tmp_path: Path) -> Path:
    """A keyring file of this test's own, in force."""
    path = tmp_path / "keyring.json"
    path.write_bytes(Path(settings.KEYSTEAD_KEYRING_FILE).read_bytes())
    path.chmod(0o600)
    settings.KEYSTEAD_KEYRING_FILE = str(path)
    return path
