"""Find who has not moved to the new secret while both work: the clients that will be refused."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db.models import Exists, F, OuterRef, Q, QuerySet, TextField, Value
from django.db.models.functions import Cast, Coalesce

from keys.models import KeyVersion, Rotation, Sighting
from keys.monitoring.traffic import SETTLED, WINDOW, SeenClient, clients_on_old
from keys.states import BOTH_WORK_STATES, VersionState


def laggards_of(rotation: Rotation, *, at: datetime) -> Sequence[SeenClient]:
    """The clients of the window that still need the old version, those seen last first."""
    return [client for client in clients_on_old(rotation, at=at) if not client.has_moved]


def with_laggards(rotations: QuerySet[Rotation], *, at: datetime) -> QuerySet[Rotation]:
    """Keep the rotations that have laggards; the same answer as `laggards_of`, given by the database."""
    place = Coalesce(Cast("address", TextField()), Value(""), output_field=TextField())
    on_new = Sighting.objects.annotate(place=place).filter(
        version=OuterRef(OuterRef("new_version")),
        place=OuterRef("place"),
        user_agent=OuterRef("user_agent"),
        instance=OuterRef("instance"),
        last_at__gte=OuterRef(OuterRef("activated_at")),
        last_at__gt=OuterRef("last_at"),
    )
    on_old = Sighting.objects.annotate(place=place).filter(version=OuterRef("old_version"), last_at__gt=at - WINDOW)
    nameless = Q(address=None, user_agent="", instance="")
    lagging = on_old.filter(nameless | Q(last_at__gt=at - SETTLED) | ~Exists(on_new))
    working = KeyVersion.objects.living(at).filter(state=VersionState.ACTIVE)
    both = rotations.filter(
        state__in=BOTH_WORK_STATES, old_version__in=working.values("pk"), activated_at__isnull=False
    )
    return both.filter(Exists(lagging), managed_key__revoked_at=None).order_by(F("activated_at"), "pk")
