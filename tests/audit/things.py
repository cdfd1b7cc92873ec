"""A made-up governed thing with its events, so that the audit floor is tested without the floors above it."""

import uuid

from audit.actor import Actor, ActorKind, Auth, RequestFacts
from audit.events import Event, private

COLUMNS = ("id", "name", "state", "note", "tags", "facts", "size", "until", "period", "hits", "mac")
GOVERNED = tuple(each for each in COLUMNS if each not in {"hits", "mac"})

TABLE = """
CREATE TABLE public.thing (
    id uuid PRIMARY KEY, name text NOT NULL, state varchar(12) NOT NULL, note text NOT NULL DEFAULT '',
    tags text[] NOT NULL DEFAULT '{}', facts jsonb, size bigint, until timestamptz, period interval,
    hits integer NOT NULL DEFAULT 0, mac text NOT NULL DEFAULT ''
)
"""
CHANGE = frozenset(GOVERNED)


class ThingCreated(Event):
    """A thing came into being."""

    action = "thing.created"
    target_type = "thing"
    change_fields = CHANGE


class ThingChanged(Event):
    """A thing changed."""

    action = "thing.changed"
    target_type = "thing"
    change_fields = CHANGE

    count: int = 0
    comment: str = private(default="")


class ThingBroken(Event):
    """A thing broke, for a reason, by a proven hand."""

    action = "thing.broken"
    target_type = "thing"
    change_fields = frozenset({"state"})
    needs_reason = True
    needs_mfa = True


ALICE = Actor(
    kind=ActorKind.PERSON,
    id="5d6c5a4e-0000-4000-8000-00000000a11c",
    name="Alice Adams",
    session="5e" * 32,
    auth=Auth(mfa=True, methods=("password", "passkey"), device="passkey-1", assurance="aal2"),
    http=RequestFacts(id="req-1", method="POST", route="/things/<uuid>", ip="192.0.2.7", user_agent="Firefox"),
)
CLOCK = Actor.job("things.sweep")


def thing_id() -> str:
    """A fresh identifier."""
    return str(uuid.uuid4())
