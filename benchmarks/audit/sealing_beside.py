"""Run the real sealer beside a measure, as it runs in life."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from audit.sealer import Sealer
from audit.sealer_folder import SealerFolder, create_key, read_signer
from benchmarks.cluster import ROOT, Cluster

START_SECONDS = 30


def new_sealer(cluster: Cluster, name: str) -> Sealer:
    """Make a sealer with a key and a folder of its own; it seals the database that Django is pointed at."""
    folder = SealerFolder(cluster.layout.data / f"sealer-{name}")
    shutil.rmtree(folder.path, ignore_errors=True)
    create_key(folder, name=f"keystead/audit-log/bench-{name}")
    return Sealer(folder, read_signer(folder.key_file))


def seal_all(sealer: Sealer) -> int:
    """Seal what waits; return how many events that were."""
    sealed = 0
    while (done := sealer.seal()).is_full:
        sealed += done.sealed
    return sealed + done.sealed


@contextmanager
def sealer_at_work(cluster: Cluster, database: str, folder: Path) -> Iterator[None]:
    """Run `manage.py audit_sealer` on `database` until the end of the block."""
    environment = cluster.environment(database) | {
        "KEYSTEAD_SEALER_FOLDER": str(folder),
        "KEYSTEAD_SEALER_KEY_FILE": str(SealerFolder(folder).key_file),
    }
    process = subprocess.Popen([sys.executable, "manage.py", "audit_sealer"], cwd=ROOT, env=environment)
    try:
        _wait_until_it_seals(cluster, database, process)
        yield
        if process.poll() is not None:
            raise RuntimeError("the sealer ended by itself; its words are above")
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGTERM)
        process.wait(timeout=60)


def _wait_until_it_seals(cluster: Cluster, database: str, process: subprocess.Popen[bytes]) -> None:
    """Wait for its first heartbeat, sealed by its second round."""
    deadline = time.monotonic() + START_SECONDS
    query = (
        "SELECT count(*) FROM audit_leaf JOIN audit_event ON id = event_id WHERE action = 'audit.heartbeat-recorded'"
    )
    with cluster.superuser(database) as superuser:
        while superuser.execute(query).fetchone() == (0,):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the sealer did not start sealing; its words are above")
            time.sleep(0.1)
