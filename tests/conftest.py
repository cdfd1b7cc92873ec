"""Run every test on a real PostgreSQL and a real Valkey, started once for each worker.

Each worker has a cluster of its own, a copy of one that is prepared once: transaction ids are a cluster's, so an open
transaction of one worker would hold up what another one's reader of the log may read.

The application connects as it does in life: as `keystead_application`, without the owner's rights.
"""

import gc
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import django
import django.conf
import psycopg
import pytest
import redis

from portal import embedded
from portal.layout import Layout, layout_at
from tests.databases import Content, WorkersDatabase, written_down
from tests.rewriting import rewrite_once
from tests.servers import PortalServer

if TYPE_CHECKING:
    from tests.people import World
    from tests.sealers import SealingThread

pytest_plugins = ("tests.portal.browser",)  # one Chromium a run, whichever modules want it
ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = "keystead_template"
FEW_AND_LONG = (
    "tests/journeys/",
    "tests/benchmarks/",
    "tests/portal/test_supervisor.py",
    "tests/portal/test_schema_fuzz.py",
    "tests/keys/races/",
    "tests/keys/notifications/test_receivers_down.py",
    "tests/audit/test_archive.py",
)
_made: Path | None = None  # the data folder whose stopped cluster the workers copy
_engines: embedded.Engines | None = None
_database: WorkersDatabase | None = None


class Inhabited(NamedTuple):
    """The world of tests/people.py: what a database holds with it, how it was written, and itself, to be unpickled for each test."""

    content: Content
    script: str
    world: bytes


_inhabited: Inhabited | None = None


def _worker() -> str:
    return os.environ.get("PYTEST_XDIST_WORKER", "main")


def _layout() -> Layout:
    return layout_at(os.environ["KEYSTEAD_DATA"])


def _new_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="keystead-tests-"))
    folder.chmod(0o755)  # root's engines run as another user
    return folder


def _start_engines(made: Path | None) -> None:
    """Start the engines in a folder of this worker, with the template of the tests' database in it."""
    global _engines
    folder = _new_folder()
    (folder / "static").mkdir()  # whitenoise warns when it is missing
    os.environ["KEYSTEAD_DATA"] = str(folder)
    if made is not None:
        embedded.prepare_home(_layout())
        for name in ("postgres", "secrets"):
            kept: Path = getattr(layout_at(made), name)
            subprocess.run(["cp", "-Rp", kept, getattr(_layout(), name)], check=True)  # files keep their owner
    _engines = embedded.Engines(_layout(), durable=False).start()
    if made is None:
        _make_template(_layout())


def _make_template(layout: Layout) -> None:
    """Make the secrets and the template of the tests' database in a running cluster: most of the work is Django's."""
    embedded.create_secrets(layout)
    with closing(psycopg.connect(layout.conninfo(database="postgres"), autocommit=True)) as connection:
        embedded.create_database(connection, TEMPLATE)
    embedded.own_schema(layout, TEMPLATE)
    environment = os.environ | {
        "KEYSTEAD_DATA": str(layout.data),
        "DATABASE_URL": layout.database_url("keystead_owner", TEMPLATE),
        "KEYSTEAD_STATEMENT_TIMEOUT_MS": "0",
    }
    made = subprocess.run(
        [sys.executable, "manage.py", "prepare_database"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        pytest.exit(f"prepare_database failed:\n{made.stdout[-2000:]}{made.stderr[-6000:]}", returncode=3)


def _make_cluster() -> Path:
    """Make a cluster with the template once for all workers, and leave it stopped: to copy it takes a tenth of a second."""
    layout = layout_at(_new_folder())
    with embedded.Engines(layout, durable=False, with_valkey=False):
        _make_template(layout)
    return layout.data


def _superuser(database: str) -> "closing[psycopg.Connection[tuple[object, ...]]]":
    return closing(psycopg.connect(_layout().conninfo(database=database), autocommit=True))


def _database_name() -> str:
    return f"keystead_{_worker()}"


def _name_addresses() -> None:
    """Point the settings at this worker's database and Valkey."""
    layout, database = _layout(), _database_name()
    os.environ["DATABASE_URL"] = layout.database_url("keystead_application", database)
    for role in ("owner", "verifier", "sealer", "auditor", "retention"):
        os.environ[f"DATABASE_{role.upper()}_URL"] = layout.database_url(f"keystead_{role}", database)
    os.environ["REDIS_URL"] = layout.redis_url


def pytest_configure(config: pytest.Config) -> None:
    """Start what Django's settings will name, before they are loaded."""
    global _made, _database, _inhabited
    if config.getoption("help", default=False) or config.getoption("version", default=0):
        return
    given = getattr(config, "workerinput", None)
    hands_out = given is None and config.getoption("dist", default="no") != "no"
    if django.conf.settings.configured:
        pytest.exit(
            "unset DJANGO_SETTINGS_MODULE: the settings must not be loaded before they have a database", returncode=3
        )
    os.environ["KEYSTEAD_ENV"] = "development"
    for name in (
        "KEYSTEAD_SECRET_KEY",
        "KEYSTEAD_KEYRING_FILE",
        "EMAIL_URL",
        "DEMO",
        "PORT",
        "KEYSTEAD_PUBLIC_URL",
    ):
        os.environ.pop(name, None)
    for name in [name for name in os.environ if name.startswith("DATABASE_") or name == "REDIS_URL"]:
        del os.environ[name]
    if hands_out:
        with ThreadPoolExecutor() as beside:  # for most of that time we would only wait
            rewritten = beside.submit(rewrite_once, config)
            _made = _make_cluster()
        rewritten.result()
        return
    os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    _start_engines(Path(given["made"]) if given else None)
    _database = WorkersDatabase(_layout(), _database_name(), TEMPLATE)
    _name_addresses()
    django.setup()
    _list_static_files_once()
    _inhabited = _inhabit(_database)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker where the cluster is that it copies."""
    node.workerinput["made"] = str(_made)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the modules of few and long tests, lest one of them is left to a single worker at the end."""
    items.sort(key=lambda item: not (item.get_closest_marker("browser") or item.nodeid.startswith(FEW_AND_LONG)))


def pytest_collection_finish() -> None:
    """Spare the garbage collector what lives to the end: each of its last rounds would look at thousands of tests."""
    gc.freeze()


def _list_static_files_once() -> None:
    """Hand on the list of static files: every Client of a test loads the middleware anew, which would look at each file."""
    from whitenoise.middleware import WhiteNoiseMiddleware

    listed: dict[str, object] = {}
    look = WhiteNoiseMiddleware.add_files_from_finders

    def remember(middleware: WhiteNoiseMiddleware) -> None:
        if not listed:
            look(middleware)
            listed.update(middleware.files)
        middleware.files.update(listed)

    WhiteNoiseMiddleware.add_files_from_finders = remember


def _inhabit(database: WorkersDatabase) -> Inhabited:
    """Make the world of the tests once: to bring its rows back takes a tenth of the time."""
    from django.db import connection, connections

    from tests.people import make_world
    from tests.sealers import answer_for_the_sealer

    with pytest.MonkeyPatch.context() as patch, written_down(connection) as written:
        answer_for_the_sealer(patch, everything=False)
        world = make_world()
    connections.close_all()
    return Inhabited(database.take(), ";".join(written), pickle.dumps(world))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Put the rows in the database that the test is to find, before any fixture opens a transaction."""
    fixtures = set(getattr(item, "fixturenames", ()))
    if _database is None or _inhabited is None or _in_a_transaction():
        return  # in a transaction a module has set its stage, and keeps it
    if "worlds" in fixtures or {"world", "committed_db"} <= fixtures:
        _find(_inhabited.content)
        # The people are the same in every test, and what is counted about them must not add up.
        with closing(redis.Redis.from_url(os.environ["REDIS_URL"])) as client:
            client.flushdb()
    elif fixtures & {"django_db_setup", "world"} or item.get_closest_marker("django_db"):
        _find(_database.plain)
    if fixtures & {"committed_db", "superuser"}:
        _database.spoil()


def _in_a_transaction() -> bool:
    from django.db import connections

    return connections["default"].in_atomic_block


def _find(content: Content) -> None:
    """Put `content` in the database; our own connections are closed first, for whoever stays connected is cut off."""
    from django.db import connections

    assert _database is not None
    if not _database.holds(content):
        connections.close_all()
        _database.give(content)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the engines of this run and remove their folder."""
    global _engines, _made
    if _database is not None:
        _database.close()
    if _engines is not None:
        _engines.stop()
        _remove(_engines.layout)
        _engines = None
    if _made is not None:
        _remove(layout_at(_made))
        _made = None


def _remove(layout: Layout) -> None:
    home = layout.home  # which a file of the folder names
    for folder in (layout.data, home):
        shutil.rmtree(folder, ignore_errors=True)


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
    with _superuser(_database_name()) as connection:
        yield connection


@pytest.fixture
def engines() -> embedded.Engines:
    """Give the engines of this run: whoever stops one starts it again."""
    assert _engines is not None
    return _engines


@pytest.fixture
def valkey() -> Iterator["redis.Redis"]:
    """Give this worker's own, empty Valkey database."""
    with closing(redis.Redis.from_url(os.environ["REDIS_URL"])) as client:
        client.flushdb()
        yield client
        client.flushdb()


@pytest.fixture
def settled_nonces(committed_db: None, valkey: "redis.Redis") -> "redis.Redis":
    """Let nonces have been remembered for an hour, as in an installation that runs; gives the Valkey that remembers."""
    from tests.signing_keys import settle_nonces

    settle_nonces(valkey)
    return valkey


@pytest.fixture(scope="session")
def _portal_process() -> Iterator[PortalServer]:
    server = PortalServer(_layout()).start()
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
    assert _inhabited is not None
    made = _inhabited.world
    return lambda: pickle.loads(made)


@pytest.fixture
def world(request: pytest.FixtureRequest) -> "World":
    """Give the people and services of tests/people.py; in a committed database when the test asked for one."""
    from django.db import connection

    made: Callable[[], World] = request.getfixturevalue("worlds")
    if "committed_db" in request.fixturenames:
        request.getfixturevalue("committed_db")
        return made()
    if _database is not None and not _in_a_transaction():
        _find(_database.plain)  # nobody may have told before the test that it would ask for the world
    # In the test's own transaction: the guards look there for the event of whatever a test writes past the operations.
    request.getfixturevalue("db")
    assert _inhabited is not None
    with connection.cursor() as cursor:
        cursor.execute(_inhabited.script)
    return made()
