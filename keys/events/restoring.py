"""List what happens to governed rows when an older database is brought up to its log: one event a row, by kind of row."""

from __future__ import annotations

from collections.abc import Mapping

from audit.events import Event, Severity
from keys.events.catalogue import ENVIRONMENT, POLICY, PROPOSAL, SCOPE, SERVICE, TEMPLATE
from keys.events.channels import CALENDAR_FEED, QUIET_CHOICE
from keys.events.factors import FACTOR_RESET, INVITATION, PASSKEY, TOTP_DEVICE
from keys.events.jobs import SCHEDULE
from keys.events.keys import KEY, TRANSFER, VERSION
from keys.events.people import DELEGATION, MEMBERSHIP, PERSON, TEAM
from keys.events.requests import APPROVAL, REQUEST
from keys.events.retention import HOLD, RETENTION
from keys.events.rotations import ROTATION
from keys.events.searches import SAVED_SEARCH
from keys.events.webhooks import WEBHOOK

_COLUMNS: Mapping[str, frozenset[str]] = {
    "person": PERSON,
    "team": TEAM,
    "membership": MEMBERSHIP,
    "delegation": DELEGATION,
    "service": SERVICE,
    "scope": SCOPE,
    "environment": ENVIRONMENT,
    "template": TEMPLATE,
    "totp-device": TOTP_DEVICE,
    "passkey": PASSKEY,
    "factor-reset": FACTOR_RESET,
    "invitation": INVITATION,
    "policy": POLICY,
    "policy-proposal": PROPOSAL,
    "key": KEY,
    "version": VERSION,
    "transfer": TRANSFER,
    "request": REQUEST,
    "approval": APPROVAL,
    "saved-search": SAVED_SEARCH,
    "webhook": WEBHOOK,
    "quiet-choice": QUIET_CHOICE,
    "calendar-feed": CALENDAR_FEED,
    "hold": HOLD,
    "retention": RETENTION,
    "rotation": ROTATION,
    "schedule": SCHEDULE,
}


class RowFollowed(Event):
    """A row was brought to what the recovered log says of it. `change` holds only what is not said there."""

    action = "row.followed"
    target_type = "row"
    ocsf_class = "Application Lifecycle"
    severity = Severity.MEDIUM

    columns: tuple[str, ...] = ()
    is_new: bool = False


def _of(target_type: str, columns: frozenset[str]) -> type[RowFollowed]:
    """Make the event of one kind of row: the guard of the database asks for one that names the row's own kind."""
    words = target_type.replace("-", " ")
    article = "An" if words[0] in "aeiou" else "A"
    members = {
        "__module__": __name__,
        "__doc__": f"{article} {words} was brought to what the recovered log says of it; its change holds only what is not said there.",
        "__annotations__": {},
        "action": f"{target_type}.followed",
        "target_type": target_type,
        "change_fields": columns,
    }
    made: type[RowFollowed] = type(f"{words.title().replace(' ', '')}Followed", (RowFollowed,), members)
    return made


FOLLOWED: Mapping[str, type[RowFollowed]] = {kind: _of(kind, columns) for kind, columns in _COLUMNS.items()}
