"""A lease is told of for as long as the work takes, through an absence of the database, and not after it is lost."""

from __future__ import annotations

import threading
import time

from django.db import OperationalError

from keys.leases import kept


class _Lost(Exception):
    pass


def test_it_is_told_of_again_after_the_database_was_away_and_never_after_the_end() -> None:
    told: list[int] = []
    enough = threading.Event()

    def tell() -> None:
        told.append(1)
        if len(told) == 1:
            raise OperationalError("away")
        enough.set()

    with kept(tell, every=0.01):
        assert enough.wait(60)
    so_far = len(told)
    time.sleep(0.05)  # that nothing happens can only be waited for
    assert len(told) == so_far


def test_what_is_lost_is_told_of_no_more_and_the_work_goes_on() -> None:
    told: list[int] = []
    was_told = threading.Event()

    def tell() -> None:
        told.append(1)
        was_told.set()
        raise _Lost

    with kept(tell, every=0.01, lost=(_Lost,)):
        assert was_told.wait(60)
        time.sleep(0.1)  # as above
    assert told == [1]
