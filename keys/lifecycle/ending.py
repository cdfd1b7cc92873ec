"""Write down many ends at once: what the clock has ended, one transaction and few statements for a batch."""

from __future__ import annotations

from django.db.models import QuerySet

from audit import clock
from audit.actor import Actor
from keys.events import VersionDeactivated
from keys.lifecycle.expiry import end_by_clock
from keys.lifecycle.many_changes import ManyChanges
from keys.models import KeyVersion
from keys.operations import operation
from keys.sealing import mac_holds
from keys.states import VersionState


@operation
def end_versions(over: QuerySet[KeyVersion], *, most: int, actor: Actor) -> int:
    """End the versions that are over, at most so many, those that have been for longest first; returns how many.

    What somebody else holds is passed over, its key too: nobody is waited for, so there is no order of locks to keep, and
    several workers share what is due. The condition is asked again of each row under its lock.
    """
    rows = over.select_related("managed_key__environment")
    versions = list(rows.select_for_update(skip_locked=True, of=("self", "managed_key"), no_key=True)[:most])
    changes = ManyChanges(actor=actor, at=clock.now(), correlation="")
    for version in versions:
        version.is_intact = mac_holds(version)
        ended_at, reason = end_by_clock(version, at=changes.at)
        changes.move_version(
            version,
            VersionState.DEACTIVATED,
            VersionDeactivated,
            columns={"ended_at": ended_at, "ended_reason": reason},
            reason=reason,
        )
    if versions:
        changes.write()
    return len(versions)
