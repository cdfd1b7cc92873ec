"""Read keys as people see them: the version that counts, how the key stands by the clock, when it was last used."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from django.db.models import (
    DateTimeField,
    DurationField,
    Exists,
    ExpressionWrapper,
    F,
    Max,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
)
from django.db.models.functions import Greatest

from keys.models import KeyVersion, ManagedKey, UsageCount
from keys.states import LIVING_VERSION_STATES, VALID, RevocationReason, VersionState

SOON = timedelta(days=30)


class Standing(StrEnum):
    """How a key stands as a whole, now."""

    WAITING = "waiting"  # approved, its first secret not claimed yet
    ACTIVE = "active"
    SUSPENDED = "suspended"
    UNCLAIMED = "unclaimed"  # authorised, but no version lives: expired, or not claimed in time
    EXPIRED = "expired"  # its authorisation is over
    REVOKED = "revoked"
    COMPROMISED = "compromised"


@dataclass(frozen=True, kw_only=True)
class KeyLine:
    """One key of a list. `version` is the one to show; `waiting` the one to claim, when there is one."""

    key: ManagedKey
    standing: Standing
    version: KeyVersion | None
    waiting: KeyVersion | None
    ends_at: datetime | None
    last_used_at: datetime | None
    is_ending_soon: bool


def lives(version: KeyVersion, *, at: datetime) -> bool:
    """Whether a version has not ended, by its state and by the clock (as KeyVersion.objects.living asks the database)."""
    if version.state not in LIVING_VERSION_STATES:
        return False
    if version.activated_at is None:
        return version.claim_until > at
    ends_at = end_of_version(version)
    return ends_at is not None and ends_at > at


def is_fetched(version: KeyVersion) -> bool:
    """Whether a client fetched this secret itself: it was handed over, and to no person."""
    return version.claimed_at is not None and version.claimed_by_id is None


def end_of_version(version: KeyVersion) -> datetime | None:
    """When an issued version stops: at its expiry, or earlier when it is being retired."""
    if version.expires_at is None or version.retire_at is None:
        return version.expires_at
    return min(version.expires_at, version.retire_at)


def line_of(
    key: ManagedKey, versions: Sequence[KeyVersion], *, at: datetime, last_used_at: datetime | None = None
) -> KeyLine:
    """Sum up one key; `versions` newest first."""
    living = [version for version in versions if lives(version, at=at)]
    fresh = next((version for version in living if version.state == VersionState.PRE_ACTIVATION), None)
    waiting = fresh if fresh is not None and fresh.digest is None else None  # what a client fetched is not claimed
    issued = [version for version in living if version is not fresh]
    working = next((version for version in issued if version.state == VersionState.ACTIVE), None)
    shown = working or next(iter(issued), None) or fresh or next(iter(versions), None)
    standing = _standing(key, shown, fresh, at=at)
    ends_at = _end(key, shown, standing)
    return KeyLine(
        key=key,
        standing=standing,
        version=shown,
        waiting=waiting if key.revoked_at is None else None,
        ends_at=ends_at,
        last_used_at=last_used_at,
        is_ending_soon=standing == Standing.ACTIVE and ends_at is not None and ends_at <= at + SOON,
    )


def _standing(key: ManagedKey, shown: KeyVersion | None, fresh: KeyVersion | None, *, at: datetime) -> Standing:
    if key.revoked_at is not None:
        leaked = key.revoked_reason == RevocationReason.KEY_COMPROMISE
        return Standing.COMPROMISED if leaked else Standing.REVOKED
    if key.authorised_until <= at:
        return Standing.EXPIRED
    if shown is None or not lives(shown, at=at):
        return Standing.UNCLAIMED
    if shown is fresh:
        return Standing.WAITING
    return Standing.ACTIVE if shown.state == VersionState.ACTIVE else Standing.SUSPENDED


def _end(key: ManagedKey, shown: KeyVersion | None, standing: Standing) -> datetime | None:
    if standing in (Standing.REVOKED, Standing.COMPROMISED):
        return key.revoked_at
    if standing == Standing.EXPIRED or shown is None:
        return key.authorised_until
    return end_of_version(shown) or shown.claim_until


def lines_of(keys: Iterable[ManagedKey], *, at: datetime) -> list[KeyLine]:
    """Sum up the keys of a page, in two queries however many they are."""
    rows = list(keys)
    versions: dict[UUID, list[KeyVersion]] = defaultdict(list)
    for version in KeyVersion.objects.filter(managed_key__in=rows).order_by("-sequence"):
        versions[version.managed_key_id].append(version)
    used = dict(
        UsageCount.objects.filter(version__managed_key__in=rows, outcome=VALID)
        .values_list("version__managed_key_id")
        .annotate(Max("last_at"))
    )
    return [line_of(key, versions[key.pk], at=at, last_used_at=used.get(key.pk)) for key in rows]


def standing_as(keys: QuerySet[ManagedKey], standing: Standing, *, at: datetime) -> QuerySet[ManagedKey]:
    """Keep the keys that stand like this; the same answer as `line_of`, given by the database."""
    if standing == Standing.REVOKED:
        return keys.filter(revoked_at__isnull=False).exclude(revoked_reason=RevocationReason.KEY_COMPROMISE)
    if standing == Standing.COMPROMISED:
        return keys.filter(revoked_reason=RevocationReason.KEY_COMPROMISE)
    keys = keys.filter(revoked_at=None)
    if standing == Standing.EXPIRED:
        return keys.filter(authorised_until__lte=at)
    keys = keys.filter(authorised_until__gt=at)
    living = KeyVersion.objects.living(at).filter(managed_key=OuterRef("pk"))
    active = Exists(living.filter(state=VersionState.ACTIVE))
    suspended = Exists(living.filter(state=VersionState.SUSPENDED))
    waiting = Exists(living.filter(state=VersionState.PRE_ACTIVATION))
    wanted = {
        Standing.ACTIVE: Q(active),
        Standing.SUSPENDED: Q(suspended) & ~Q(active),
        Standing.WAITING: Q(waiting) & ~Q(active) & ~Q(suspended),
        Standing.UNCLAIMED: ~Q(active) & ~Q(suspended) & ~Q(waiting),
    }
    return keys.filter(wanted[standing])


def ending_soon(keys: QuerySet[ManagedKey], *, at: datetime) -> QuerySet[ManagedKey]:
    """Keep the keys whose working version ends within 30 days, and for which no next version waits."""
    versions = KeyVersion.objects.living(at).filter(managed_key=OuterRef("pk"))
    active = versions.filter(state=VersionState.ACTIVE)
    ending = active.filter(Q(expires_at__lte=at + SOON) | Q(retire_at__lte=at + SOON))
    lasting = active.filter(expires_at__gt=at + SOON).exclude(retire_at__lte=at + SOON)
    waiting = versions.filter(state=VersionState.PRE_ACTIVATION)
    return keys.filter(Exists(ending), ~Exists(lasting), ~Exists(waiting), revoked_at=None)


def unused(keys: QuerySet[ManagedKey], *, at: datetime) -> QuerySet[ManagedKey]:
    """Keep the working keys that nobody has used for as long as their policy says; `unused_since`, `unused_by` tell from when."""
    working = KeyVersion.objects.living(at).filter(managed_key=OuterRef("pk"), state=VersionState.ACTIVE)
    uses = UsageCount.objects.filter(version__managed_key=OuterRef("pk"), outcome=VALID).order_by()
    last_use = uses.values("version__managed_key").annotate(last=Max("last_at")).values("last")
    claims = KeyVersion.objects.filter(managed_key=OuterRef("pk")).order_by()
    last_claim = claims.values("managed_key").annotate(last=Max("activated_at")).values("last")
    patience = ExpressionWrapper(F("policy__unused_days") * Value(timedelta(days=1)), output_field=DurationField())
    living = keys.filter(Exists(working), revoked_at=None, authorised_until__gt=at)
    return living.annotate(
        unused_since=Greatest(Subquery(last_use), Subquery(last_claim)),
        unused_by=ExpressionWrapper(F("unused_since") + patience, output_field=DateTimeField()),
    ).filter(unused_by__lte=at)
