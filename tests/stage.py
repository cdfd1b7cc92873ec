"""What this process runs its tests on: its engines, its database, and the world that is put there when a test asks for it."""

import pickle
from typing import NamedTuple

import pytest

from portal import embedded
from tests.databases import Content, WorkersDatabase, written_down

engines: embedded.Engines | None = None
database: WorkersDatabase | None = None


class Inhabited(NamedTuple):
    """The world of tests/people.py: what a database holds with it, how it was written, and itself, to be unpickled for each test."""

    content: Content
    script: str
    world: bytes


inhabited: Inhabited | None = None


def inhabit(database: WorkersDatabase) -> Inhabited:
    """Make the world of the tests once: to bring its rows back takes a tenth of the time."""
    from django.db import connection, connections

    from tests.people import make_world
    from tests.sealers import answer_for_the_sealer

    with pytest.MonkeyPatch.context() as patch, written_down(connection) as written:
        answer_for_the_sealer(patch, everything=False)
        world = make_world()
    connections.close_all()
    return Inhabited(database.take(), ";".join(written), pickle.dumps(world))


def in_a_transaction() -> bool:
    """Tell whether a module has set its stage and keeps it."""
    from django.db import connections

    return connections["default"].in_atomic_block


def find(content: Content) -> None:
    """Put `content` in the database; our own connections are closed first, for whoever stays connected is cut off."""
    from django.db import connections

    assert database is not None
    if not database.holds(content):
        connections.close_all()
        database.give(content)
