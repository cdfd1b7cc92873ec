"""Hold a secret so that only an explicit `.reveal()` can show it."""

from __future__ import annotations

import hmac
from typing import Final, Never, final

_HIDDEN: Final = "Secret(hidden)"


@final
class Secret:
    """A text that hides in repr, str, format, JSON, pickle and logs.

    A frame keeps what it reveals: reveal inside the expression that needs the text, never into a long-lived variable.
    """

    __slots__ = ("__text",)
    __text: str

    def __init__(self, text: str) -> None:
        if not text:
            raise ValueError("a secret is never empty")
        object.__setattr__(self, "_Secret__text", text)

    def reveal(self) -> str:
        """Return the text. There is no other way out."""
        return self.__text

    def __repr__(self) -> str:
        return _HIDDEN

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return _HIDDEN

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_bytes(self.__text), _bytes(other.__text))

    # A hash would be a fast function of the secret and invite it into sets and the keys of dictionaries.
    __hash__ = None  # type: ignore[assignment]

    def __setattr__(self, name: str, value: object) -> Never:
        raise AttributeError("a secret does not change")

    def __delattr__(self, name: str) -> Never:
        raise AttributeError("a secret does not change")

    def __getstate__(self) -> Never:
        raise TypeError("a secret is not serialised")

    def __reduce_ex__(self, protocol: object) -> Never:
        raise TypeError("a secret is not serialised")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def as_secret(value: str | Secret) -> Secret:
    """Hide a text that is not hidden yet."""
    return value if isinstance(value, Secret) else Secret(value)
