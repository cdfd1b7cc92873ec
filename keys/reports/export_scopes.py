"""Say what an export shall hold as a value that a row keeps: a search, or every event between two places of the log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from audit.exporters import payloads
from audit.exporters.bundle_rows import LeafRange, Scope
from keys.reports.evidence import scope_of
from keys.reports.searches import LogSearch


@dataclass(frozen=True, kw_only=True)
class Leaves:
    """Every sealed event from one place in the log on and before another: whether one is missing can be seen."""

    from_leaf: int
    upto_leaf: int

    def told(self) -> dict[str, str]:
        """The range in the words that events and manifests keep."""
        return {"leaves": f"{self.from_leaf}-{self.upto_leaf}"}


Wanted = LogSearch | Leaves


def stored(wanted: Wanted, *, with_ocsf: bool = False) -> dict[str, Any]:
    """Return what a row keeps; `restored` reads it again (Any: JSON). `with_ocsf`: a bundle tells it in OCSF too."""
    beside = {"ocsf": True} if with_ocsf else {}
    if isinstance(wanted, Leaves):
        return {"leaves": [wanted.from_leaf, wanted.upto_leaf], **beside}
    # `kept` writes whole seconds; a program may have asked to the microsecond.
    exactly = {name: at.isoformat() for name, at in (("start", wanted.start), ("end", wanted.end)) if at}
    return {"search": wanted.kept(), **exactly, **beside}


def with_ocsf(scope: Mapping[str, Any]) -> bool:
    """Tell whether a bundle shall hold its events in OCSF too."""
    return bool(scope.get("ocsf"))


def restored(scope: Mapping[str, Any]) -> Wanted:
    """Return what `stored` kept."""
    if "leaves" in scope:
        from_leaf, upto_leaf = scope["leaves"]
        return Leaves(from_leaf=from_leaf, upto_leaf=upto_leaf)
    search = LogSearch.of(scope["search"])
    return replace(search, start=_exactly(scope, "start"), end=_exactly(scope, "end"))


def _exactly(scope: Mapping[str, Any], name: str) -> datetime | None:
    return datetime.fromisoformat(scope[name]) if name in scope else None


def count(wanted: Wanted, *, using: str) -> int:
    """How many events are wanted, in the snapshot of the caller."""
    if isinstance(wanted, Leaves):
        return wanted.upto_leaf - wanted.from_leaf
    return wanted.select().using(using).count()


def batches(wanted: Wanted, *, using: str) -> payloads.Batches:
    """Read the payloads of what is wanted."""
    if isinstance(wanted, Leaves):
        return payloads.of_range(wanted.from_leaf, wanted.upto_leaf, using=using)
    return payloads.of_search(wanted.select().using(using))


def private_batches(wanted: Wanted, *, using: str) -> payloads.Batches:
    """Read the private parts that still exist of what is wanted."""
    if isinstance(wanted, Leaves):
        return payloads.private_of_range(wanted.from_leaf, wanted.upto_leaf, using=using)
    return payloads.private_of_search(wanted.select().using(using))


def for_bundle(wanted: Wanted, *, using: str) -> Scope:
    """Return it as evidence bundles name it."""
    if isinstance(wanted, Leaves):
        return scope_of(LeafRange(from_leaf=wanted.from_leaf, upto_leaf=wanted.upto_leaf), using=using)
    return scope_of(wanted, using=using)
