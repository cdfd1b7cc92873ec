"""Hold how the secrets of a key are replaced as a value: what is asked with the key, approved with it, and followed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any

from keys.states import OVERLAP_PERIODS, Overlap

USUAL_OVERLAP = Overlap.DAY


@dataclass(frozen=True, kw_only=True)
class RotationPlan:
    """`overlap`: how long an old version works beside its successor. `every_days`: None is only before a secret ends."""

    overlap: Overlap = USUAL_OVERLAP
    every_days: int | None = None

    @property
    def period(self) -> timedelta:
        """The overlap as a span; nothing where traffic decides, which the policy bounds in any case."""
        return OVERLAP_PERIODS.get(self.overlap, timedelta())

    def within(self, cryptoperiod_days: int) -> RotationPlan:
        """Drop an interval that is never reached, because each secret is replaced before its end anyway."""
        if self.every_days is None or self.every_days < cryptoperiod_days:
            return self
        return replace(self, every_days=None)

    def as_json(self) -> dict[str, Any]:
        """The plan as it stands in a request and beside a key."""
        return {**asdict(self), "overlap": str(self.overlap)}


def plan_in(stored: Mapping[str, Any] | None) -> RotationPlan:
    """Read a plan; a request that says nothing means the usual one."""
    stored = stored or {}
    return RotationPlan(overlap=Overlap(stored.get("overlap", USUAL_OVERLAP)), every_days=stored.get("every_days"))
