"""Say how far an actor sees: the one place where reading rights begin."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from audit.actor import Actor, ActorKind
from keys.states import Role

SEES_EVERYTHING = frozenset({Role.ADMINISTRATOR, Role.RESPONDER, Role.AUDITOR})


@dataclass(frozen=True)
class Reach:
    """`everything`: all governed rows; `colleagues`: names of people and teams; the rest by team."""

    person_id: UUID | None = None
    everything: bool = False
    colleagues: bool = False
    team_ids: tuple[UUID, ...] = ()
    environment_id: UUID | None = None  # a program sees its own environment only
    seats: tuple[UUID, ...] = ()  # the people in whose place this person may decide, and the person


NOTHING = Reach()

_PERSON = """
SELECT p.roles,
       ARRAY(SELECT m.team_id FROM keys_membership m WHERE m.person_id = p.id AND m.ended_at IS NULL),
       ARRAY(SELECT d.person_id FROM keys_delegation d JOIN keys_person o ON o.id = d.person_id AND o.is_active
             WHERE d.delegate_id = p.id AND d.ended_at IS NULL
               AND d.starts_at <= clock_timestamp() AND d.ends_at > clock_timestamp())
FROM keys_person p WHERE p.id = %s AND p.is_active
"""
_PROGRAM = "SELECT k.owner_team_id, k.environment_id FROM keys_managedkey k WHERE k.id = %s AND k.revoked_at IS NULL"


def reach_of(actor: Actor | None) -> Reach:
    """The reach of `actor` now, read from the database: a role that ended a moment ago shows nothing more."""
    if actor is None:
        return NOTHING
    if actor.kind in (ActorKind.JOB, ActorKind.OPERATOR, ActorKind.SYSTEM):
        return Reach(everything=True, colleagues=True)
    statement = _PERSON if actor.kind == ActorKind.PERSON else _PROGRAM
    with connection.cursor() as cursor:
        cursor.execute(statement, [actor.id])
        row = cursor.fetchone()
    if row is None:
        return NOTHING
    if actor.kind == ActorKind.PROGRAM:
        return Reach(team_ids=(row[0],), environment_id=row[1])
    person_id = UUID(actor.id)
    return Reach(
        person_id=person_id,
        everything=not SEES_EVERYTHING.isdisjoint(row[0]),
        colleagues=True,
        team_ids=tuple(row[1]),
        seats=(person_id, *row[2]),
    )
