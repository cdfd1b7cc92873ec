"""Say what somebody looks for in the log as a value: it selects the events, and it is what the record of reading tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from django.db.models import Model, Q

from audit.bound import bound_cursor
from audit.models import AuditEvent, AuditLeaf
from audit.queries import AuditEventQuerySet
from audit.scanning import Filter, Question
from keys.events import LogSampled
from keys.models import Approval, KeyTransfer, KeyVersion, Rotation

# What belongs to a thing and has a life of its own in the log.
PARTS = {"key": "versions, rotations and transfers", "request": "approvals"}
_ROWS_OF: Mapping[str, tuple[tuple[str, type[Model], str], ...]] = {
    "key": (
        ("version", KeyVersion, "managed_key_id"),
        ("rotation", Rotation, "managed_key_id"),
        ("transfer", KeyTransfer, "managed_key_id"),
    ),
    "request": (("approval", Approval, "request_id"),),
}
# One statement however many kinds of parts there are: it comes before each search for a key.
_FIND_PARTS = {
    kind: " UNION ALL ".join(
        f"SELECT '{part}', id FROM {model._meta.db_table} WHERE {column} = %s"  # noqa: S608 - names of ours
        for part, model, column in parts
    )
    for kind, parts in _ROWS_OF.items()
}


class Subject(NamedTuple):
    """Somebody who acts, or something that is acted on, as events name them."""

    kind: str
    id: str

    def text(self) -> str:
        """Write it for a link or a record."""
        return f"{self.kind}:{self.id}"

    @classmethod
    def parse(cls, text: str) -> Subject | None:
        """Read what `text()` wrote, or None."""
        kind, separator, name = text.partition(":")
        return cls(kind, name) if separator and kind and name else None


@dataclass(frozen=True, kw_only=True)
class LogSearch:
    """A filter over the log; what is empty does not filter. `start` counts in, `end` does not.

    `sample`: only what was drawn, by the identifier of the event that put the draw on record. `sealed_before`: only what
    is among the first so many leaves, such as the population of that draw.
    """

    start: datetime | None = None
    end: datetime | None = None
    actor: Subject | None = None
    actions: tuple[str, ...] = ()
    target: Subject | None = None
    environment: str = ""
    outcome: str = ""
    request_id: str = ""
    sample: UUID | None = None
    sealed_before: int | None = None

    @classmethod
    def of(cls, kept: Mapping[str, str]) -> LogSearch:
        """Read what `kept()` wrote."""
        return cls(
            start=_instant(kept.get("since", "")),
            end=_instant(kept.get("before", "")),
            actor=Subject.parse(kept.get("who", "")),
            actions=tuple(kept.get("action", "").split()),
            target=Subject.parse(kept.get("target", "")),
            environment=kept.get("environment", ""),
            outcome=kept.get("outcome", ""),
            request_id=kept.get("request", ""),
            sample=_uuid(kept.get("sample", "")),
            sealed_before=int(kept["leaves"]) if "leaves" in kept else None,
        )

    def select(self) -> AuditEventQuerySet:
        """The events that are looked for."""
        found = AuditEvent.objects.between(self.start, self.end)
        if self.actor is not None:
            found = found.by_actor(*self.actor)
        if self.actions:
            found = found.with_action(*self.actions)
        if self.target is not None:
            found = found.filter(_about(self.target))
        if self.environment:
            found = found.in_environment(self.environment)
        if self.outcome:
            found = found.with_outcome(self.outcome)
        if self.request_id:
            found = found.of_request(self.request_id)
        if self.sample is not None:
            leaves = AuditLeaf.objects.filter(index__in=leaves_drawn(self.sample))
            found = found.filter(pk__in=list(leaves.values_list("event_id", flat=True)))
        if self.sealed_before is not None:
            found = found.filter(pk__in=AuditLeaf.objects.filter(index__lt=self.sealed_before).values("event_id"))
        return found

    def question(self) -> Question:
        """The same for finding a page in bounded time."""
        filters = [
            Filter(("target_type", "target_id"), tuple(subjects_of(self.target))) if self.target else None,
            Filter(("actor_type", "actor_id"), (self.actor,)) if self.actor else None,
            Filter(("request_id",), ((self.request_id,),)) if self.request_id else None,
            Filter(("action",), tuple((each,) for each in self.actions)) if self.actions else None,
            Filter(("outcome",), ((self.outcome,),)) if self.outcome else None,
            Filter(("environment",), ((self.environment,),)) if self.environment else None,
        ]
        return Question(
            start=self.start,
            end=self.end,
            filters=tuple(each for each in filters if each is not None),
            sealed_before=self.sealed_before,
        )

    def kept(self) -> dict[str, str]:
        """The filter as the address of the page writes it, by identifiers: what a saved search and a sample keep."""
        words = {
            "since": _moment(self.start),
            "before": _moment(self.end),
            "who": self.actor.text() if self.actor else "",
            "action": " ".join(self.actions),
            "target": self.target.text() if self.target else "",
            "environment": self.environment,
            "outcome": self.outcome,
            "request": self.request_id,
            "sample": str(self.sample or ""),
            "leaves": "" if self.sealed_before is None else str(self.sealed_before),
        }
        return {name: value for name, value in words.items() if value}

    def told(self) -> dict[str, str]:
        """The filter in the words that the record of reading and the manifest of an export keep."""
        target = self.target.text() if self.target else ""
        if self.target and self.target.kind in PARTS:
            target += f" with its {PARTS[self.target.kind]}"
        words = {
            "from": self.start.astimezone(UTC).isoformat() if self.start else "",
            "before": self.end.astimezone(UTC).isoformat() if self.end else "",
            "actor": self.actor.text() if self.actor else "",
            "action": " ".join(self.actions),
            "target": target,
            "environment": self.environment,
            "outcome": self.outcome,
            "request": self.request_id,
            "sample": str(self.sample or ""),
            "sealed before leaf": "" if self.sealed_before is None else str(self.sealed_before),
        }
        return {name: value for name, value in words.items() if value}


def leaves_drawn(sample: UUID) -> list[int]:
    """The places that a recorded draw names, in the order of the draw; none when there is no such draw."""
    event = AuditEvent.objects.with_action(LogSampled.action).filter(uid=sample).first()
    details = event.envelope().get("details") if event else None
    leaves = details.get("leaves") if isinstance(details, dict) else None
    return [leaf for leaf in leaves if isinstance(leaf, int)] if isinstance(leaves, list) else []


def subjects_of(target: Subject) -> list[Subject]:
    """A thing and its parts: whoever asks for a key means its versions too."""
    pk = _uuid(target.id)
    if pk is None or target.kind not in _FIND_PARTS:
        return [target]
    with bound_cursor() as cursor:
        cursor.execute(_FIND_PARTS[target.kind], [pk] * len(_ROWS_OF[target.kind]))
        return [target, *(Subject(kind, str(part)) for kind, part in cursor.fetchall())]


def _moment(at: datetime | None) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S") if at else ""


def _instant(text: str) -> datetime | None:
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _about(target: Subject) -> Q:
    wanted = Q()
    for subject in subjects_of(target):
        wanted |= Q(target_type=subject.kind, target_id=subject.id)
    return wanted
