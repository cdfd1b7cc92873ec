"""Ask the log: by target, actor, action, time, place and outcome, in pages that cost the same however far one reads."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from django.db import models
from django.db.models import Q

from audit.actor import ActorKind
from audit.events import Outcome

if TYPE_CHECKING:
    from audit.models import AuditEvent


class BadPosition(ValueError):
    """A page's cursor is not one of ours."""


@dataclass(frozen=True, kw_only=True)
class Position:
    """A place in the log in reading order: after this event."""

    occurred_at: datetime
    id: int

    @classmethod
    def of(cls, event: AuditEvent) -> Self:
        """Return the place of `event`."""
        return cls(occurred_at=event.occurred_at, id=event.id)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `text()` wrote; raise BadPosition for anything else."""
        try:
            at, _, number = urlsafe_b64decode(text.encode("ascii")).decode("ascii").partition("/")
            position = cls(occurred_at=datetime.fromisoformat(at), id=int(number))
        except (ValueError, OverflowError) as error:
            raise BadPosition("not a page of the audit log") from error
        if position.occurred_at.tzinfo is None or not 0 <= position.id < 2**63:
            raise BadPosition("not a page of the audit log")
        return position

    def text(self) -> str:
        """Write the place for a link; it holds nothing that the page did not show."""
        place = f"{self.occurred_at.astimezone(UTC).isoformat()}/{self.id}"
        return urlsafe_b64encode(place.encode("ascii")).decode("ascii")


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    """Each filter has an index that ends in (occurred_at, id), the order of reading."""

    def of_target(self, target_type: str, target_id: str) -> Self:
        """The whole life of one thing."""
        return self.filter(target_type=target_type, target_id=target_id)

    def by_actor(self, kind: ActorKind | str, actor_id: str) -> Self:
        """What one actor did."""
        return self.filter(actor_type=str(kind), actor_id=actor_id)

    def with_action(self, *actions: str) -> Self:
        """Events with one of these actions."""
        return self.filter(action=actions[0]) if len(actions) == 1 else self.filter(action__in=actions)

    def between(self, start: datetime | None, end: datetime | None) -> Self:
        """From `start` on and before `end`; None leaves that side open."""
        found = self
        if start is not None:
            found = found.filter(occurred_at__gte=start)
        return found if end is None else found.filter(occurred_at__lt=end)

    def in_environment(self, environment: str) -> Self:
        """Events of one environment, by its tag."""
        return self.filter(environment=environment)

    def with_outcome(self, outcome: Outcome | str) -> Self:
        """Events that ended this way."""
        return self.filter(outcome=str(outcome))

    def of_request(self, request_id: str) -> Self:
        """What one HTTP request did."""
        return self.filter(request_id=request_id)

    def newest_first(self) -> Self:
        """The order of reading."""
        return self.order_by("-occurred_at", "-id")

    def oldest_first(self) -> Self:
        """The order of telling."""
        return self.order_by("occurred_at", "id")

    def page_after(self, position: Position | None) -> Self:
        """Newest first, from just after `position`; slice it to the size of the page."""
        found = self.newest_first()
        if position is None:
            return found
        # The first condition is implied, and lets the index start at the right place.
        return found.filter(
            Q(occurred_at__lt=position.occurred_at) | Q(id__lt=position.id),
            occurred_at__lte=position.occurred_at,
        )

    def page_before(self, position: Position | None) -> Self:
        """Oldest first, from just after `position`."""
        found = self.oldest_first()
        if position is None:
            return found
        return found.filter(
            Q(occurred_at__gt=position.occurred_at) | Q(id__gt=position.id),
            occurred_at__gte=position.occurred_at,
        )
