"""Say what a program's own credential is: a text, or something that knows the current one."""

from __future__ import annotations

from typing import Protocol, TypeAlias, runtime_checkable

from keystead_client.secret import Secret, as_secret


@runtime_checkable
class Credential(Protocol):
    """Something that knows the secret to present now; a RotatingCredential does."""

    def current(self) -> Secret:
        """Return the secret to present now."""
        ...


class FixedCredential:
    """A secret that never changes while the program runs."""

    def __init__(self, secret: str | Secret) -> None:
        self._secret = as_secret(secret)

    def current(self) -> Secret:
        return self._secret


AnyCredential: TypeAlias = "str | Secret | Credential"


def as_credential(value: AnyCredential) -> Credential:
    """Wrap a bare text."""
    return FixedCredential(value) if isinstance(value, str | Secret) else value
