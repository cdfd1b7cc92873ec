"""Run the sealer for tests that need what they commit to be sealed, and pause it for those that need the opposite."""

import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Self

import pytest
from django.db import connections

from audit.checkpoints import Backlog, backlog
from audit.sealer import Sealer
from audit.sealer_folder import SealerFolder, create_key, read_signer

INTERVAL_SECONDS = 0.02


def answer_for_the_sealer(patch: pytest.MonkeyPatch, *, everything: bool = True) -> None:
    """Say that the sealer keeps up, and with `everything`, that each event is sealed.

    The sealer is another process, so a part of the outside world, and it sees only what is committed: in a transaction
    that is rolled back after the test nothing could ever be sealed.
    """
    patch.setattr("keys.operations.backlog", lambda: Backlog(waiting=0, age=timedelta()))
    if everything:
        patch.setattr("audit.checkpoints.are_sealed", lambda uids, using="default": True)


class SealingThread:
    """A real sealer with its own role, folder and key, in a thread instead of a process."""

    def __init__(self, path: Path) -> None:
        folder = SealerFolder(path)
        create_key(folder, name="keystead/audit-log/test")
        self.sealer = Sealer(folder, read_signer(folder.key_file))
        self.failure: BaseException | None = None
        self._stop_wanted = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        self._stop_wanted.clear()
        self._thread = threading.Thread(target=self._run, name="sealer", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop sealing, as when the process is down; `start` takes it up again."""
        if self._thread is not None:
            self._stop_wanted.set()
            self._thread.join()
            self._thread = None
        if self.failure is not None:
            raise self.failure

    def settle(self, seconds: float = 20) -> None:
        """Wait until everything that was committed is sealed."""
        deadline = time.monotonic() + seconds
        while backlog().waiting:
            if self.failure is not None or time.monotonic() > deadline:
                raise AssertionError("the sealer does not keep up") from self.failure
            time.sleep(INTERVAL_SECONDS)

    def _is_any_waiting(self) -> bool:
        """Look into the queue: a whole round each time costs a test that waits ten times as much."""
        with connections[self.sealer.using].cursor() as cursor:
            cursor.execute("SELECT EXISTS (SELECT FROM audit_pending)")
            return bool(cursor.fetchone()[0])

    def _run(self) -> None:
        try:
            is_any = True  # the first round compares the database with our memory even when nothing waits
            while not self._stop_wanted.is_set():
                if not is_any or not self.sealer.seal().is_full:
                    self._stop_wanted.wait(INTERVAL_SECONDS)
                is_any = self._is_any_waiting()
        except BaseException as failure:
            self.failure = failure
        finally:
            connections.close_all()
