"""Destroy what is left of an ended version (NIST SP 800-57 Part 1, section 8.4); its digest stays, as a tombstone."""

from __future__ import annotations

from audit import clock
from audit.actor import Actor
from keys.events import VersionDestroyed
from keys.lifecycle.transitions import locked_key, locked_versions, move_version
from keys.models import KeyVersion
from keys.operations import operation
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.rules import may_destroy
from keys.states import VersionState


@operation
def destroy_version(version: KeyVersion, *, actor: Actor) -> KeyVersion:
    """Move an ended version to its last state. The tombstone says for ever that its kid and digest are spent."""
    key = locked_key(version.managed_key)
    version = next(each for each in locked_versions(key) if each.pk == version.pk)
    at = clock.now()
    enforce(may_destroy(actor, standing_of(actor, at=at), at=at))
    return move_version(
        version, VersionState.DESTROYED, VersionDestroyed, actor=actor, at=at, columns={"sealed_secret": ""}
    )
