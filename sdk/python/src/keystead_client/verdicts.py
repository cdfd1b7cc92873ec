"""Say what Keystead answers about a presented key: who it is, or why it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from keystead_client.errors import Unreachable
from keystead_client.networks import read_address


class Reason(StrEnum):
    """Why a key is refused. A reason that this release does not know stays a plain text, and is a refusal too."""

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
    NETWORK = "network"
    SCOPE = "scope"
    RATE_LIMIT = "rate_limit"
    QUOTA = "quota"
    SIGNATURE_REQUIRED = "signature_required"
    SIGNATURE_MALFORMED = "signature_malformed"
    SIGNATURE_EXPIRED = "signature_expired"
    SIGNATURE_IN_FUTURE = "signature_in_future"
    SIGNATURE_INVALID = "signature_invalid"
    REPLAY = "replay"
    INTEGRITY_FAILURE = "integrity_failure"
    STALE = "stale"
    # This one is ours: Keystead could not be asked, so nothing is valid.
    UNAVAILABLE = "unavailable"
    # And this: a shared secret signed it, which never leaves Keystead; `Verifier` can ask about it.
    NOT_IN_PROCESS = "not_in_process"


_STATUS: Final[Mapping[str, int]] = {
    Reason.NETWORK: 403,
    Reason.SCOPE: 403,
    Reason.WRONG_ENVIRONMENT: 403,
    Reason.WRONG_SERVICE: 403,
    Reason.RATE_LIMIT: 429,
    Reason.QUOTA: 429,
    Reason.STALE: 503,
    Reason.UNAVAILABLE: 503,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Client:
    """Who presented the key, as far as the service knows. A key with allowed networks needs the address."""

    address: str | None = None
    user_agent: str = ""
    instance: str = ""

    def as_json(self) -> dict[str, str]:
        """Write what is known; longer texts than the door reads are cut.

        What is no address to anybody else is left out, like none: a server on a unix socket tells none, a test client a word.
        """
        texts = {"user_agent": _readable(self.user_agent[:2000]), "instance": _readable(self.instance[:100])}
        known = {name: text for name, text in texts.items() if text}
        return known if read_address(self.address) is None else {"address": str(self.address), **known}


def _readable(text: str) -> str:
    """Leave out what Keystead's JSON does not hold: one such client would have a whole batch of uses refused."""
    return text.encode(errors="ignore").decode().replace("\0", "")


NOBODY_KNOWN: Final = Client()


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The answer. It is true only if the key is valid, so `if verifier.verify(...):` fails closed.

    `fault` says what is wrong with a signature that cannot be read, or with the memory of nonces; `server_time` helps a client
    whose clock is wrong.
    """

    valid: bool
    reason: Reason | str | None = None
    kid: str = ""
    key: str = ""
    name: str = ""
    service: str = ""
    environment: str = ""
    scopes: frozenset[str] = field(default_factory=frozenset)
    owner_team: str = ""
    consumer: str = ""
    expires_at: datetime | None = None
    verified_at: datetime | None = None
    fault: str = ""
    server_time: int | None = None

    def __bool__(self) -> bool:
        return self.valid

    @property
    def status(self) -> int:
        """The HTTP status with which a service answers its caller: 200, 401, 403, 429 or 503."""
        return 200 if self.valid else _STATUS.get(str(self.reason), 401)


def refusal(reason: Reason | str) -> Verdict:
    """Refuse for a reason; an unknown one stays a text."""
    return Verdict(valid=False, reason=_known(str(reason)))


def read_verdict(answer: object) -> Verdict:
    """Read what `/v1/verify` answered; only a literal `true` is valid, and what cannot be read is Unreachable."""
    if not isinstance(answer, dict) or not isinstance(answer.get("valid"), bool):
        raise Unreachable("The answer is not a verdict of Keystead.", code="not_a_verdict")
    if not answer["valid"]:
        return Verdict(
            valid=False,
            reason=_known(answer["reason"] if isinstance(answer.get("reason"), str) else Reason.UNKNOWN),
            fault=_text(answer.get("fault")),
            server_time=answer["server_time"] if type(answer.get("server_time")) is int else None,
        )
    scopes = answer.get("scopes")
    if not isinstance(scopes, list) or not all(isinstance(each, str) for each in scopes):
        raise Unreachable("The answer names no scopes.", code="not_a_verdict")
    return Verdict(
        valid=True,
        scopes=frozenset(scopes),
        kid=_text(answer.get("kid")),
        key=_text(answer.get("key")),
        name=_text(answer.get("name")),
        service=_text(answer.get("service")),
        environment=_text(answer.get("environment")),
        owner_team=_text(answer.get("owner_team")),
        consumer=_text(answer.get("consumer")),
        expires_at=read_time(answer.get("expires_at")),
        verified_at=read_time(answer.get("verified_at")),
    )


def _known(reason: str) -> Reason | str:
    return Reason(reason) if reason in Reason.__members__.values() else reason


def _text(value: Any) -> str:  # Any: whatever JSON held
    return value if isinstance(value, str) else ""


def read_time(value: Any) -> datetime | None:  # Any: whatever JSON held
    """Read an RFC 3339 time; None when there is none."""
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except ValueError:
        raise Unreachable("The answer holds a time that is none.", code="not_a_verdict") from None
