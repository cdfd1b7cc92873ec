"""Name why a presented key, or a signed request, is refused."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """The typed reasons of a verification; the first that holds is the answer, in the order of keys.verification.verifier and .signed.

    Nothing answers STALE: a verifier that is too old says so with a status. Its name stays, for services may handle it already.
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
