"""Say what a program's own credential is: a text, or something that knows the current one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

from keystead_client.errors import MalformedKey, Refused
from keystead_client.secret import Secret, as_secret

Given = TypeVar("Given")


@runtime_checkable
class Credential(Protocol):
    """Something that knows the secret to present now; a RotatingCredential does."""

    def current(self) -> Secret:
        """Return the secret to present now."""
        ...


class FixedCredential:
    """A secret that never changes while the program runs."""

    def __init__(self, secret: str | Secret) -> None:
        text = as_secret(secret).reveal().strip()
        if not (text.isascii() and text.isprintable() and " " not in text):
            raise MalformedKey("The credential is no text that a header may hold: is it one line?", code="unsendable")
        self._secret = as_secret(text)

    def current(self) -> Secret:
        return self._secret


AnyCredential: TypeAlias = "str | Secret | Credential"


def as_credential(value: AnyCredential) -> Credential:
    """Wrap a bare text, without what stands around it, such as the end of the line in a file.

    MalformedKey where nothing was given, such as a variable that is not set, or what no header may hold: no question would
    be answered.
    """
    if isinstance(value, str | Secret):
        return FixedCredential(value)
    if not isinstance(value, Credential):
        raise MalformedKey(
            "No credential was given: neither a text nor something that knows one.", code="no_credential"
        )
    return value


def showing(credential: Credential, ask: Callable[[Secret], Given]) -> Given:
    """Ask with the secret of now; where it is refused, once more with another one, if the credential knows one.

    Around a rotation that leaves no time the old secret has stopped and is still the current one, or the other way round.
    """
    secret = credential.current()
    try:
        return ask(secret)
    except Refused as refused:
        rejected: Callable[[Secret], Secret | None] | None = getattr(credential, "rejected", None)
        other = rejected(secret) if rejected is not None and refused.status == 401 else None
        if other is None:
            raise
    return ask(other)
