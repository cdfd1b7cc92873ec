"""Say when a version verifies: what its state says at any time, and what the clock adds. Pure.

Read once when the row is read, and asked again for every presented key: expiry and retirement need no message.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from keys.states import VersionState
from keys.verification.lookup import Found
from keys.verification.reasons import Reason

_ENDED_BY_CLOCK: Final = {"expired": Reason.EXPIRED, "claim-lapsed": Reason.EXPIRED, "retired": Reason.RETIRED}


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """`ended`: refused whatever the clock says. Else refused before `begins`, from `expires`, from `retires`, and while stopped."""

    ended: Reason | None
    begins: datetime
    expires: datetime
    retires: datetime | None = None
    stopped: Reason | None = None

    def refusal(self, at: datetime) -> Reason | None:
        """Why the version does not verify at that instant; the first that holds."""
        if self.ended is not None:
            return self.ended
        if at < self.begins:
            return Reason.NOT_YET_ACTIVE
        if at >= self.expires:
            return Reason.EXPIRED
        if self.retires is not None and at >= self.retires:
            return Reason.RETIRED
        return self.stopped


def standing_of(found: Found) -> Standing:
    """What the row of a version and its key say."""
    fields = found.fields
    expires = min((each for each in (fields.expires_at, fields.authorised_until) if each is not None), default=found.at)
    return Standing(
        ended=_ended(found),
        begins=fields.activated_at or found.at,
        expires=expires,
        retires=fields.retire_at,
        # Anything but "active", also a state that this release does not know, does not verify.
        stopped=None if fields.state == VersionState.ACTIVE else Reason.SUSPENDED,
    )


def _ended(found: Found) -> Reason | None:
    fields = found.fields
    if fields.state == VersionState.PRE_ACTIVATION or fields.activated_at is None:
        return Reason.NOT_YET_ACTIVE
    if fields.state == VersionState.COMPROMISED:
        return Reason.COMPROMISED
    if fields.state in (VersionState.DEACTIVATED, VersionState.DESTROYED):
        if found.ended_reason == "superseded" and found.revoked_at is None:
            return Reason.RETIRED  # by its successor; a key that is revoked as superseded is revoked
        return _ENDED_BY_CLOCK.get(found.ended_reason, Reason.REVOKED)
    if found.revoked_at is not None:
        return Reason.REVOKED
    return Reason.EXPIRED if fields.expires_at is None or fields.authorised_until is None else None
