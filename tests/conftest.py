"""Run every test on a real PostgreSQL and a real Valkey, started once for each worker, before anything reads the settings.

The application connects as it does in life: as `keystead_application`, without the owner's rights.
"""

import gc
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import django
import django.conf
import pytest
import redis
from hypothesis import HealthCheck, settings

from portal.layout import layout_at
from tests import stage
from tests.databases import WorkersDatabase
from tests.engines import (
    TEMPLATE,
    database_name,
    forget_addresses,
    layout_of_worker,
    make_cluster,
    name_addresses,
    remove,
    start_engines,
)
from tests.fixtures import (  # noqa: F401 - pytest gives the tests of this folder what it finds here
    _cheap_guesses,
    _portal_process,
    _sealer_answered_for,
    committed_db,
    django_db_setup,
    engines,
    one_day,
    portal_server,
    ring_file,
    sealing,
    settled_nonces,
    superuser,
    valkey,
    world,
    worlds,
)
from tests.rewriting import rewrite_once

pytest_plugins = ("tests.portal.browser",)  # one Chromium a run, whichever modules want it
FEW_AND_LONG = (
    "tests/journeys/",
    "tests/benchmarks/",
    "tests/portal/test_supervisor.py",
    "tests/portal/test_schema_fuzz.py",
    "tests/keys/races/",
    "tests/keys/notifications/test_receivers_down.py",
    "tests/audit/test_archive.py",
)
# An example that took long says that the machine was busy.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
_made: Path | None = None  # the data folder whose stopped cluster the workers copy


def pytest_configure(config: pytest.Config) -> None:
    """Start what Django's settings will name, before they are loaded."""
    global _made
    if config.getoption("help", default=False) or config.getoption("version", default=0):
        return
    given = getattr(config, "workerinput", None)
    hands_out = given is None and config.getoption("dist", default="no") != "no"
    if django.conf.settings.configured:
        pytest.exit(
            "unset DJANGO_SETTINGS_MODULE: the settings must not be loaded before they have a database", returncode=3
        )
    os.environ["KEYSTEAD_ENV"] = "development"
    forget_addresses()
    if hands_out:
        with ThreadPoolExecutor() as beside:  # for most of that time we would only wait
            rewritten = beside.submit(rewrite_once, config)
            _made = make_cluster()
        rewritten.result()
        return
    os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    stage.engines = start_engines(Path(given["made"]) if given else None)
    stage.database = WorkersDatabase(layout_of_worker(), database_name(), TEMPLATE)
    name_addresses()
    django.setup()
    _list_static_files_once()
    stage.inhabited = stage.inhabit(stage.database)


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


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Put the rows in the database that the test is to find, before any fixture opens a transaction."""
    fixtures = set(getattr(item, "fixturenames", ()))
    if stage.database is None or stage.inhabited is None or stage.in_a_transaction():
        return  # in a transaction a module has set its stage, and keeps it
    if "worlds" in fixtures or {"world", "committed_db"} <= fixtures:
        stage.find(stage.inhabited.content)
        # The people are the same in every test, and what is counted about them must not add up.
        with closing(redis.Redis.from_url(os.environ["REDIS_URL"])) as client:
            client.flushdb()
    elif fixtures & {"django_db_setup", "world"} or item.get_closest_marker("django_db"):
        stage.find(stage.database.plain)
    if fixtures & {"committed_db", "superuser"}:
        stage.database.spoil()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the engines of this run and remove their folder."""
    global _made
    if stage.database is not None:
        stage.database.close()
    if stage.engines is not None:
        stage.engines.stop()
        remove(stage.engines.layout)
        stage.engines = None
    if _made is not None:
        remove(layout_at(_made))
        _made = None
