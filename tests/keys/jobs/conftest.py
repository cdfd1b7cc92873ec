"""Give workers and schedulers of their own, which stop with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import psycopg
    import redis

    from tests.keys.jobs.processes import CeleryProcess


@pytest.fixture
def launched(
    sealing: object,
    superuser: psycopg.Connection[tuple[object, ...]],
    valkey: redis.Redis,
    tmp_path: Path,
) -> Iterator[Callable[..., CeleryProcess]]:
    """Start workers and schedulers by role and name; every slot is a second long, and a sealer seals."""
    from tests.keys.jobs.processes import CeleryProcess, hurry

    hurry(superuser)
    running: list[CeleryProcess] = []

    def launch(role: str, name: str, *, faster: float = 1.0) -> CeleryProcess:
        process = CeleryProcess(role, tmp_path / f"{name}.log", faster=faster).start()
        running.append(process)
        return process

    yield launch
    for process in running:
        process.tell()
        process.kill()
        print(f"--- {process.log_file.name}\n{process.log()[-6000:]}")  # shown where the test fails
