"""Find the keys that an emergency is about, and freeze them as a list with a digest."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Exists, OuterRef, Q

from audit import clock
from audit.actor import Actor
from audit.models import AuditEvent
from keys.errors import Invalid
from keys.events import KeyLeakReported
from keys.models import KeyVersion, ManagedKey
from keys.models.keys import ManagedKeyQuerySet
from keys.states import EnvironmentClass, SuspensionReason, VersionState

MOST_KEYS = 2000  # one act, a few seconds; what is left is done by a second one


@dataclass(frozen=True, kw_only=True)
class EmergencyFilter:
    """Which keys: all that is given must fit. `numbers` names keys one by one, those that ended among them."""

    team: str = ""
    service: str = ""
    environment: str = ""
    recipient: UUID | None = None
    leaked: bool = False
    numbers: tuple[int, ...] = ()

    def told(self) -> dict[str, str]:
        """What was asked for, for the record."""
        given = {
            "team": self.team,
            "service": self.service,
            "environment": self.environment,
            "recipient": str(self.recipient or ""),
            "leaked": "yes" if self.leaked else "",
            "list": "yes" if self.numbers else "",
        }
        return {name: value for name, value in given.items() if value}

    def select(self, actor: Actor, *, at: datetime) -> ManagedKeyQuerySet:
        """The keys that fit now and could still open something, or come to; a chosen list is taken as it is."""
        if not self.told():
            raise Invalid.field("team", "emergency_needs_a_filter")
        rows = ManagedKey.objects.visible_to(actor)
        chosen = {"number__in": self.numbers} if self.numbers else {"revoked_at": None, "authorised_until__gt": at}
        rows = rows.filter(**chosen)
        for name, value in (
            ("owner_team__slug", self.team),
            ("service__slug", self.service),
            ("environment__tag", self.environment),
            ("recipient_id", self.recipient),
        ):
            if value:
                rows = rows.filter(**{name: value})
        return _leaked(rows) if self.leaked else rows


@dataclass(frozen=True, kw_only=True)
class EmergencyList:
    """What a person sees before the act: the keys, and how many there are of which kind."""

    keys: list[ManagedKey]
    matching: int
    digest: str
    already_ended: int
    production: int
    verifying: int  # with these, services ask about other keys: without them they let nobody in
    by_environment: Mapping[str, int]
    by_team: Mapping[str, int]
    by_service: Mapping[str, int]

    @property
    def numbers(self) -> list[int]:
        return [key.number for key in self.keys]


def list_keys(wanted: EmergencyFilter, *, actor: Actor) -> EmergencyList:
    """Freeze what fits now, at most MOST_KEYS, the oldest numbers first."""
    at = clock.now()
    rows = wanted.select(actor, at=at)
    keys = list(rows.select_related("environment", "service", "owner_team", "recipient").order_by("number")[:MOST_KEYS])
    return EmergencyList(
        keys=keys,
        matching=rows.count() if len(keys) == MOST_KEYS else len(keys),
        digest=digest_of(key.number for key in keys),
        already_ended=sum(key.revoked_at is not None for key in keys),
        production=sum(key.environment.environment_class == EnvironmentClass.PRODUCTION for key in keys),
        verifying=sum(key.verifies_service_id is not None for key in keys),
        by_environment=Counter(key.environment.name for key in keys),
        by_team=Counter(key.owner_team.name for key in keys),
        by_service=Counter(key.service.name for key in keys),
    )


def digest_of(numbers: Iterable[int]) -> str:
    """The SHA-256 of the numbers in order, one a line: anybody can compute it again from a receipt."""
    return hashlib.sha256("".join(f"{number}\n" for number in sorted(set(numbers))).encode()).hexdigest()


def _leaked(rows: ManagedKeyQuerySet) -> ManagedKeyQuerySet:
    """Those of which a leak was reported and that are stopped since: a reinstated key was cleared."""
    stopped = KeyVersion.objects.filter(managed_key=OuterRef("pk"), state=VersionState.SUSPENDED)
    # A version that was stopped before keeps its first reason; then the log knows of the report.
    reported = AuditEvent.objects.with_action(KeyLeakReported.action).values_list("target_id", flat=True).distinct()
    return rows.filter(
        Exists(stopped.filter(suspended_reason=SuspensionReason.LEAK_REPORTED))
        | (Q(pk__in=[UUID(each) for each in reported]) & Exists(stopped))
    )
