"""Say what was counted of a version, over all hours: one may end while a test asks."""

from __future__ import annotations

from django.db.models import Sum

from keys.models import KeyVersion, UsageCount


def uses_of(version: KeyVersion) -> dict[str, int]:
    """How often verification of `version` ended in each outcome."""
    counts = UsageCount.objects.filter(version=version).values("outcome").annotate(Sum("count"))
    return dict(counts.values_list("outcome", "count__sum"))
