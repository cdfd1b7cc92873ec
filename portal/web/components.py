"""Shape what the components of a page show, so that templates hold no logic."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.utils.functional import Promise

Words = str | Promise


@dataclass(frozen=True, kw_only=True)
class TimelineItem:
    """One thing that happened."""

    title: Words
    at: datetime
    actor: str = ""
    detail: Words = ""
    icon: str = "circle-dot"
    tone: str = "neutral"
    href: str = ""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One field of a difference. Lists are compared as sets, in the order given."""

    label: Words
    before: object
    after: object

    @property
    def is_list(self) -> bool:
        return isinstance(self.before, (list, tuple)) or isinstance(self.after, (list, tuple))

    @property
    def is_changed(self) -> bool:
        return self.before != self.after

    @property
    def added(self) -> list[object]:
        return [value for value in _listed(self.after) if value not in _listed(self.before)]

    @property
    def removed(self) -> list[object]:
        return [value for value in _listed(self.before) if value not in _listed(self.after)]

    @property
    def kept(self) -> list[object]:
        return [value for value in _listed(self.before) if value in _listed(self.after)]


def _listed(value: object) -> Sequence[object]:
    if isinstance(value, (list, tuple)):
        return value
    return [] if value is None else [value]


def difference(
    before: Mapping[str, object], after: Mapping[str, object], *, labels: Mapping[str, Words]
) -> list[Change]:
    """Compare two contents field by field, in the order of `labels`; what has no label is not shown."""
    return [Change(label=label, before=before.get(name), after=after.get(name)) for name, label in labels.items()]


@dataclass(frozen=True, kw_only=True)
class Term:
    """One row of a definition list. `mono` for texts that are read letter by letter."""

    name: Words
    value: object
    mono: bool = False


@dataclass(frozen=True, kw_only=True)
class Stat:
    """One figure of a row of tiles."""

    label: Words
    value: object
    note: Words = ""
    tone: str = "neutral"
    href: str = ""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a course of steps."""

    label: Words
    state: str = "open"  # done, current or open


def steps(labels: Iterable[Words], *, current: int) -> list[Step]:
    """Number a course of steps; `current` counts from 0, and the number of steps means all are done."""
    names = {-1: "done", 0: "current", 1: "open"}
    return [Step(label=label, state=names[(place > current) - (place < current)]) for place, label in enumerate(labels)]


@dataclass(frozen=True, kw_only=True)
class Seat:
    """One decision that a quorum has, or still needs when `person` is empty."""

    person: str = ""
    at: datetime | None = None
    note: Words = ""


@dataclass(frozen=True, kw_only=True)
class Quorum:
    """How far the approvals of a request have come."""

    needed: int
    seats: Sequence[Seat] = field(default_factory=tuple)

    @property
    def have(self) -> int:
        return len([seat for seat in self.seats if seat.person])


@dataclass(frozen=True, kw_only=True)
class Tab:
    """One of several views of the same thing."""

    label: Words
    href: str
    is_current: bool = False
    count: int | None = None
