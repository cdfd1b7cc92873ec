"""Name why a presented key is refused, in the order in which the questions are asked."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """The typed reasons of a verification; the first that holds is the answer.

    Limits, replay and staleness belong to later parts of the data plane; their names are fixed from the first day, so that
    a service may write its handling of every answer now.
    """

    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    WRONG_ENVIRONMENT = "wrong_environment"
    WRONG_SERVICE = "wrong_service"
    NOT_YET_ACTIVE = "not_yet_active"
    EXPIRED = "expired"
    RETIRED = "retired"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    COMPROMISED = "compromised"
    ROTATE_NOW = "rotate_now"
    SIGNATURE_REQUIRED = "signature_required"
    NETWORK = "network"
    SCOPE = "scope"
    RATE_LIMIT = "rate_limit"
    QUOTA = "quota"
    REPLAY = "replay"
    SIGNATURE_MALFORMED = "signature_malformed"
    SIGNATURE_EXPIRED = "signature_expired"
    SIGNATURE_IN_FUTURE = "signature_in_future"
    SIGNATURE_INVALID = "signature_invalid"
    INTEGRITY_FAILURE = "integrity_failure"
    STALE = "stale"
