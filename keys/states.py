"""Name the states of a key version and of a request, and the moves between them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Final


class SessionKind(StrEnum):
    """What holds the key of a session: a browser in its cookie, or a device (RFC 8628) as a token."""

    BROWSER = "browser"
    DEVICE = "device"


class VersionState(StrEnum):
    """The states of a key, NIST SP 800-57 Part 1 Rev. 5, section 7."""

    PRE_ACTIVATION = "pre-activation"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    DEACTIVATED = "deactivated"
    COMPROMISED = "compromised"
    DESTROYED = "destroyed"


class RequestState(StrEnum):
    """Where a request for a key stands; the last four are final."""

    PENDING = "pending"
    RETURNED = "returned"
    APPROVED = "approved"
    DENIED = "denied"
    WITHDRAWN = "withdrawn"
    LAPSED = "lapsed"


class RevocationReason(StrEnum):
    """Why a key ended before its time, in the words of RFC 5280, section 5.3.1."""

    KEY_COMPROMISE = "key-compromise"
    AFFILIATION_CHANGED = "affiliation-changed"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessation-of-operation"
    PRIVILEGE_WITHDRAWN = "privilege-withdrawn"


class SuspensionReason(StrEnum):
    """Why a version was stopped for a while; the last two are never chosen by a person."""

    INVESTIGATION = "investigation"
    SUSPECTED_LEAK = "suspected-leak"
    UNUSED = "unused"
    OWNER_LEFT = "owner-left"
    LEAK_REPORTED = "leak-reported"
    SECOND_CLAIM = "second-claim"


CHOSEN_SUSPENSIONS: Final = tuple(SuspensionReason)[:4]


class Origin(StrEnum):
    """How a key came to be."""

    REQUEST = "request"
    BREAK_GLASS = "break-glass"
    ADOPTION = "adoption"
    BOOTSTRAP = "bootstrap"


class KeyKind(StrEnum):
    """What the secret of a key is."""

    BEARER = "bearer"  # presented as it is
    HMAC_SHA256 = "hmac-sha256"  # a shared secret that signs requests and never travels
    ED25519 = "ed25519"  # the client keeps the private key and brings the public one


class NonceStoreName(StrEnum):
    """Where spent nonces of signed requests are remembered."""

    VALKEY = "valkey"
    DATABASE = "database"


class RotationState(StrEnum):
    """How far the replacement of a key's secret is; the last three are final."""

    SCHEDULED = "scheduled"  # due on a date
    PREPARED = "prepared"  # the next version waits for whoever may have it
    HANDED_OVER = (
        "handed-over"  # the client fetched the new secret, which does not verify until the client says it has it
    )
    ACTIVATED = "activated"  # both verify, and nothing bounds the old one yet
    DRAINING = "draining"  # both verify, the old one until its `retire_at`
    COMPLETED = "completed"
    ABORTED = "aborted"
    ROLLED_BACK = "rolled-back"


class RotationCause(StrEnum):
    """Why a secret is replaced."""

    SCHEDULE = "schedule"
    DEMAND = "demand"
    LOST = "lost"
    LEAVER = "leaver"
    COMPROMISE = "compromise"
    POLICY = "policy"


# The secret before is known to somebody who should not have it any more: it never comes back.
KNOWN_TO_OTHERS: Final = (RotationCause.COMPROMISE, RotationCause.LEAVER)


class Overlap(StrEnum):
    """How long the old version verifies beside the new one."""

    NOW = "now"
    QUARTER = "15m"
    HOUR = "1h"
    SIX_HOURS = "6h"
    DAY = "24h"
    WEEK = "7d"
    FIRST_USE = "first-use"  # until the new one is used for the first time
    WHEN_IDLE = "when-idle"  # until every client seen on it has moved


OVERLAP_PERIODS: Final[Mapping[Overlap, timedelta]] = {
    Overlap.NOW: timedelta(),
    Overlap.QUARTER: timedelta(minutes=15),
    Overlap.HOUR: timedelta(hours=1),
    Overlap.SIX_HOURS: timedelta(hours=6),
    Overlap.DAY: timedelta(hours=24),
    Overlap.WEEK: timedelta(days=7),
}


class Delivery(StrEnum):
    """When a notice goes out: by itself, when its sweep is over, with others in one mail, or never."""

    NOW = "now"
    HELD = "held"  # until a sweep of reminders is over
    DIGEST = "digest"
    SILENT = "silent"


class MessageFamily(StrEnum):
    """The kinds of message about which people choose; what may be an attack is in none of them."""

    NEEDS = "needs"  # somebody waits for this person
    REMINDERS = "reminders"  # something will end
    CHANGES = "changes"  # something happened to keys of theirs
    NEWS = "news"  # nobody has to act on it


class Telling(StrEnum):
    """How somebody wants to be told of a family of messages; the pages show it in any case."""

    NOW = "now"
    DIGEST = "digest"
    QUIET = "quiet"


class TeamMail(StrEnum):
    """Who of an owner team is mailed about its keys, beside whoever receives a key's secret."""

    LEADS = "leads"
    MEMBERS = "members"


class EndpointForm(StrEnum):
    """How an endpoint outside is told: signed events for programs, or sentences for a chat."""

    EVENTS = "events"
    CHAT = "chat"


class EnvironmentClass(StrEnum):
    """What rules speak of, instead of the name of an environment."""

    DEVELOPMENT = "development"
    TEST = "test"
    PRODUCTION = "production"


class Access(StrEnum):
    """What a scope lets its holder do to the service."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


class Risk(StrEnum):
    """How much harm a scope can do in the wrong hands."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class TeamRole(StrEnum):
    """What a person does in one team."""

    DEVELOPER = "developer"
    APPROVER = "approver"
    LEAD = "lead"


class Role(StrEnum):
    """What a person does for the whole organisation."""

    ADMINISTRATOR = "administrator"
    RESPONDER = "responder"
    AUDITOR = "auditor"


class InvitationPurpose(StrEnum):
    """What a one-time link lets a person do: take a place, enrol new factors after a reset, or recover everything."""

    JOIN = "join"
    FACTORS = "factors"
    RECOVERY = "recovery"


class DeliveryState(StrEnum):
    """Where an event for a webhook is: it waits for its next attempt, was taken by the receiver, or was given up."""

    WAITING = "waiting"
    ACCEPTED = "accepted"
    FAILED = "failed"


# What is counted of a verification that refused nothing; of every other its reason (keys.verification.reasons).
VALID: Final = "valid"

_V = VersionState
VERSION_MOVES: Final[Mapping[VersionState, frozenset[VersionState]]] = {
    _V.PRE_ACTIVATION: frozenset({_V.ACTIVE, _V.SUSPENDED, _V.DEACTIVATED, _V.COMPROMISED}),
    _V.ACTIVE: frozenset({_V.SUSPENDED, _V.DEACTIVATED, _V.COMPROMISED}),
    _V.SUSPENDED: frozenset({_V.PRE_ACTIVATION, _V.ACTIVE, _V.DEACTIVATED, _V.COMPROMISED}),
    _V.DEACTIVATED: frozenset({_V.COMPROMISED, _V.DESTROYED}),
    _V.COMPROMISED: frozenset({_V.DESTROYED}),
    _V.DESTROYED: frozenset(),
}
LIVING_VERSION_STATES: Final = (_V.PRE_ACTIVATION, _V.ACTIVE, _V.SUSPENDED)

_R = RequestState
REQUEST_MOVES: Final[Mapping[RequestState, frozenset[RequestState]]] = {
    _R.PENDING: frozenset({_R.PENDING, _R.RETURNED, _R.APPROVED, _R.DENIED, _R.WITHDRAWN, _R.LAPSED}),
    _R.RETURNED: frozenset({_R.PENDING, _R.WITHDRAWN, _R.LAPSED}),
    _R.APPROVED: frozenset(),
    _R.DENIED: frozenset(),
    _R.WITHDRAWN: frozenset(),
    _R.LAPSED: frozenset(),
}
OPEN_REQUEST_STATES: Final = (_R.PENDING, _R.RETURNED)

_T = RotationState
ROTATION_MOVES: Final[Mapping[RotationState, frozenset[RotationState]]] = {
    _T.SCHEDULED: frozenset({_T.PREPARED, _T.ABORTED}),
    _T.PREPARED: frozenset({_T.HANDED_OVER, _T.ACTIVATED, _T.ABORTED}),
    _T.HANDED_OVER: frozenset({_T.HANDED_OVER, _T.PREPARED, _T.ACTIVATED, _T.ABORTED}),
    _T.ACTIVATED: frozenset({_T.DRAINING, _T.COMPLETED, _T.ROLLED_BACK, _T.ABORTED}),
    _T.DRAINING: frozenset({_T.COMPLETED, _T.ROLLED_BACK, _T.ABORTED}),
    _T.COMPLETED: frozenset(),
    _T.ABORTED: frozenset(),
    _T.ROLLED_BACK: frozenset(),
}
WAITING_ROTATION_STATES: Final = (_T.PREPARED, _T.HANDED_OVER)  # a new secret is there and does not verify yet
BOTH_WORK_STATES: Final = (_T.ACTIVATED, _T.DRAINING)
OPEN_ROTATION_STATES: Final = (_T.SCHEDULED, *WAITING_ROTATION_STATES, *BOTH_WORK_STATES)
