"""Hold a secret so that only an explicit `.reveal()` can show it."""

import hmac
from typing import Final, Never, Self, final

HIDDEN: Final = "Secret(hidden)"


@final
class Secret:
    """A text or some bytes that hide in repr, str, format, JSON, pickle and logs.

    Frames keep what they reveal: reveal inside the expression that needs it, never into a long-lived
    variable.
    """

    __slots__ = ("__value",)

    # The name mangled slot keeps the value out of `vars()`, dataclass walks and careless attribute access.
    __value: bytes

    def __init__(self, value: str | bytes) -> None:
        if not value:
            raise ValueError("a secret is never empty")
        encoded = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else bytes(value)
        object.__setattr__(self, "_Secret__value", encoded)

    def reveal(self) -> str:
        """Return the text. The only other way out is `reveal_bytes`."""
        return self.__value.decode("utf-8", "surrogatepass")

    def reveal_bytes(self) -> bytes:
        """Return the bytes."""
        return self.__value

    def __repr__(self) -> str:
        return HIDDEN

    def __str__(self) -> str:
        return HIDDEN

    def __format__(self, spec: str) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.__value, other.__value)

    # A hash would be a fast, unsalted function of the secret and invite it into sets and dict keys.
    __hash__ = None  # type: ignore[assignment]

    def __setattr__(self, name: str, value: object) -> Never:
        raise AttributeError("a secret does not change")

    def __delattr__(self, name: str) -> Never:
        raise AttributeError("a secret does not change")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    # object.__getstate__ (3.11) hands out the slots, so pickle, copyreg and debuggers would see the value.
    def __getstate__(self) -> Never:
        raise TypeError("a secret is not serialised")

    def __reduce__(self) -> Never:
        raise TypeError("a secret is not serialised")

    def __reduce_ex__(self, protocol: object) -> Never:
        raise TypeError("a secret is not serialised")


def secret_bytes(value: Secret | str | bytes) -> bytes:
    """Return the bytes of a secret or of a plain value that is about to be digested."""
    if isinstance(value, Secret):
        return value.reveal_bytes()
    if isinstance(value, str):
        # A JSON body may hold a lone surrogate; it must be an unknown key, not a server error.
        return value.encode("utf-8", "surrogatepass")
    return value
