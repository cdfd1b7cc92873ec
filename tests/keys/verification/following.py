"""Follow the database by hand, look by look, so that a test decides what happens between two of them."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from keys.crypto.digests import digest
from keys.crypto.secrets import Secret
from keys.verification.memory import lease
from keys.verification.memory.feed import Feed
from keys.verification.memory.recall import why_refused
from keys.verification.memory.snapshot import Place
from keys.verification.reasons import Reason
from keys.verification.verifier import Question
from tests.people import World


def following(name: str = "by hand") -> Feed:
    """A verifier that has read everything and holds its first lease."""
    feed = Feed(name=name)
    feed.catch_up()
    feed.tick()
    return feed


def place_of(feed: Feed, world: World, environment: str = "prod") -> Place:
    """The orders service in an environment, as the verifier knows it."""
    return next(
        place
        for place in feed.catalogue.places.values()
        if place.service_id == world.orders.pk and place.environment == environment
    )


def said(feed: Feed, world: World, secret: Secret, *, at: float | None = None) -> Reason | None:
    """What the verifier's memory says of a presented key, now or at another instant."""
    entry = feed.snapshot.entries.get(digest(secret))
    if entry is None:
        return Reason.UNKNOWN
    now = lease.clock() + feed.offset if at is None else at
    return why_refused(entry, asks=place_of(feed, world), question=Question(), at=now)


def behind_the_back(superuser: Connection[Any], statement: str, *parameters: object, heard: bool = True) -> None:
    """Change rows as somebody who owns the database: past every guard, and past the triggers that tell verifiers unless `heard`."""
    tables = ("keys_keyversion", "keys_managedkey", "keys_environment")
    with superuser.transaction():
        found = superuser.execute(
            "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled = 'A'"
            " AND tgrelid::regclass::text = ANY(%s)",
            [list(tables)],
        ).fetchall()
        silenced = [each for each in found if not (heard and each[1].endswith("_changed"))]
        for table, trigger in silenced:
            superuser.execute(f'ALTER TABLE {table} DISABLE TRIGGER "{trigger}"'.encode())
        superuser.execute(statement.encode(), parameters)
        superuser.execute("SET CONSTRAINTS ALL IMMEDIATE")  # a table that awaits a check cannot be altered
        for table, trigger in silenced:
            superuser.execute(f'ALTER TABLE {table} ENABLE ALWAYS TRIGGER "{trigger}"'.encode())
