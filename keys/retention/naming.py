"""Find where somebody is named: the spellings of their name and address, the events that hold them, the rows that are no log."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection

from audit.canonical import JsonValue
from audit.models import AuditPrivate
from keys.models import ApprovalStatement, Notice, PasswordReset, Person
from keys.people.failed_sign_ins import forget_failures

# A shorter name is looked for as a whole value only: "An" is in every other word.
_LEAST_WITHIN_TEXT = 6


@dataclass(frozen=True, kw_only=True)
class Naming:
    """Every address and name that the log knows a person by."""

    emails: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def spellings(self) -> list[str]:
        """Return what to look for inside of texts."""
        return [*self.emails, *(name for name in self.names if len(name) >= _LEAST_WITHIN_TEXT)]

    def is_in(self, text: str) -> bool:
        """Tell whether a text names the person."""
        folded = text.casefold()
        return any(each.casefold() in folded for each in self.spellings) or folded in map(str.casefold, self.names)

    def needles(self) -> list[bytes]:
        """Return the bytes by which a private part names the person: inside of texts, or as a whole value."""
        within = [json.dumps(each, ensure_ascii=False)[1:-1] for each in self.spellings]
        whole = [json.dumps(each, ensure_ascii=False) for each in self.names if each not in self.spellings]
        return [each.encode() for each in (*within, *whole)]


def naming_of(person: Person) -> Naming:
    """Read every name and address that the person ever had, as far as the log still says."""
    emails, names = {person.email}, {person.name}
    told = AuditPrivate.objects.filter(event__target_type="person", event__target_id=str(person.pk))
    for each in told.iterator():
        change = each.facts().get("change")
        if isinstance(change, dict):
            emails |= _texts(change.get("email"))
            names |= _texts(change.get("name"))
    return Naming(emails=tuple(sorted(emails)), names=tuple(sorted(names)))


def _texts(values: JsonValue) -> set[str]:
    return {each for each in values if isinstance(each, str) and each} if isinstance(values, list) else set()


_NAMING = """
SELECT event.uid, coalesce(leaf.index, -1)
FROM audit_private private
JOIN audit_event event ON event.id = private.event_id
LEFT JOIN audit_leaf leaf ON leaf.event_id = event.id
WHERE event.recorded_at < %(before)s AND (
    (event.actor_type = 'person' AND event.actor_id = %(person)s)
    OR (event.target_type = 'person' AND event.target_id = %(person)s)
    OR (event.target_type, event.target_id) IN (SELECT * FROM unnest(%(kinds)s::text[], %(ids)s::text[]))
    OR EXISTS (SELECT FROM unnest(%(needles)s::bytea[]) needle WHERE position(needle IN private.body) > 0)
)
ORDER BY event.id
"""


def events_naming(
    person: Person, naming: Naming, *, own: Iterable[tuple[str, str]], before: datetime
) -> tuple[list[UUID], list[int]]:
    """Return the events from before the erasure with a private part about the person, and their leaves (-1: not sealed).

    `own` are target types and ids of rows of theirs. One pass over all private parts: an index of them would be a list of names.
    """
    rows = list(own)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(
            _NAMING,
            {
                "before": before,
                "person": str(person.pk),
                "kinds": [kind for kind, _ in rows],
                "ids": [pk for _, pk in rows],
                "needles": naming.needles(),
            },
        )
        found = cursor.fetchall()
    return [uid for uid, _ in found], [leaf for _, leaf in found]


def forget_ungoverned(person: Person, naming: Naming) -> None:
    """Delete what is about the person and no log: notices, password links, statements, counters of wrong passwords."""
    Notice.objects.filter(person=person).delete()
    PasswordReset.objects.filter(person=person).delete()
    ApprovalStatement.objects.filter(person=person).delete()
    forget_failures(naming.emails)
