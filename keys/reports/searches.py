"""Say what somebody looks for in the log as a value: it selects the events, and it is what the record of reading tells."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from django.db.models import Q

from audit.models import AuditEvent
from audit.queries import AuditEventQuerySet
from keys.models import Approval, KeyTransfer, KeyVersion

# What belongs to a thing and has a life of its own in the log.
PARTS = {"key": "versions and transfers", "request": "approvals"}


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
    """A filter over the log; what is empty does not filter. `start` counts in, `end` does not."""

    start: datetime | None = None
    end: datetime | None = None
    actor: Subject | None = None
    actions: tuple[str, ...] = ()
    target: Subject | None = None
    environment: str = ""
    outcome: str = ""
    request_id: str = ""

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
        return found

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
        }
        return {name: value for name, value in words.items() if value}


def subjects_of(target: Subject) -> list[Subject]:
    """A thing and its parts: whoever asks for a key means its versions too."""
    found = [target]
    pk = _uuid(target.id)
    if pk is not None and target.kind == "key":
        versions = KeyVersion.objects.filter(managed_key_id=pk).values_list("pk", flat=True)
        transfers = KeyTransfer.objects.filter(managed_key_id=pk).values_list("pk", flat=True)
        found += [Subject("version", str(part)) for part in versions]
        found += [Subject("transfer", str(part)) for part in transfers]
    if pk is not None and target.kind == "request":
        approvals = Approval.objects.filter(request_id=pk).values_list("pk", flat=True)
        found += [Subject("approval", str(part)) for part in approvals]
    return found


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
