"""Give a site of real processes whose parts can be killed one by one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from portal.embedded import Engines
from portal.layout import layout_at
from tests.journeys.chaos.borders import Borders
from tests.journeys.chaos.database import Database
from tests.journeys.chaos.processes import SealerProcess, Sweeper, VerifyDoor, Worker
from tests.servers import PortalServer


@pytest.fixture
def door(committed_db: None) -> Iterator[VerifyDoor]:
    """The verification door as processes of its own."""
    door = VerifyDoor(layout_at(os.environ["KEYSTEAD_DATA"])).launch()
    yield door
    door.kill()


@pytest.fixture
def worker(committed_db: None) -> Iterator[Worker]:
    """A worker that takes what the bell wakes it for."""
    worker = Worker(layout_at(os.environ["KEYSTEAD_DATA"])).launch()
    yield worker
    worker.kill()


@pytest.fixture
def sweeper(committed_db: None) -> Iterator[Sweeper]:
    """A worker that is back at once when it was killed, for tests that have seconds."""
    sweeper = Sweeper(layout_at(os.environ["KEYSTEAD_DATA"])).launch()
    yield sweeper
    sweeper.kill()


@pytest.fixture
def sealer(committed_db: None, tmp_path: Path) -> Iterator[SealerProcess]:
    """A sealer as a process, for tests in which the database goes away under it."""
    sealer = SealerProcess(tmp_path / "sealer", layout_at(os.environ["KEYSTEAD_DATA"])).launch()
    yield sealer
    sealer.kill()


@pytest.fixture
def durable_database(engines: Engines, committed_db: None) -> Iterator[Database]:
    """The database as it is in life: what it acknowledged is on the disk. Other tests have a faster one."""
    database = Database(engines)
    database.restart(durable=True)
    yield database
    database.restart(durable=False)


@pytest.fixture
def site(_portal_process: PortalServer, committed_db: None) -> PortalServer:
    """The site, with no sealer but the one that the test runs."""
    _portal_process.ensure_running()
    return _portal_process


@pytest.fixture
def borders(committed_db: None, superuser: psycopg.Connection[Any]) -> Borders:
    """The borders of transactions, open until a test holds one."""
    return Borders(superuser)
