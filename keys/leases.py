"""Tell every few seconds that we live while something takes long; a killed worker falls silent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from django.db import DatabaseError, connection

ALIVE_SECONDS: Final = 10.0
log = structlog.get_logger(__name__)


@contextmanager
def kept(
    tell: Callable[[], object], *, every: float = ALIVE_SECONDS, lost: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Call `tell` in a thread every so many seconds until the block ends, or it raises one of `lost`. What is over sooner costs no query.

    That the lease is lost or could not be renewed is no news for the work itself: whoever writes next learns it.
    """
    over = threading.Event()

    def go_on() -> None:
        while not over.wait(every):
            try:
                tell()
            except lost:
                return
            except DatabaseError as error:
                log.warning("lease_not_renewed", code=type(error).__name__)
            finally:
                connection.close()

    teller = threading.Thread(target=go_on, name="lease", daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()
