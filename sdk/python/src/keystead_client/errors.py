"""Name what can go wrong, in words that a person can act on. No message ever quotes a secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_LONGEST_PAUSE: Final = 366 * 24 * 3600  # seconds; more, or NaN, is no pause that anything could wait for


class KeysteadError(Exception):
    """Base of every error of this package; `code` is stable, words may change."""

    code = "keystead_error"

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code or self.code


class MalformedKey(KeysteadError):
    """A text is not a key of Keystead (`key_form`), or was mistyped (`key_check`). Found offline."""

    code = "key_form"


class Unreachable(KeysteadError):
    """Keystead did not answer in time or not in its own language. Nothing is known; treat every key as not valid."""

    code = "unreachable"


class Refused(KeysteadError):
    """Keystead understood and said no: `status`, `code` and the other members of the problem as its API documents them."""

    code = "refused"

    def __init__(
        self, message: str, *, code: str = "", status: int = 0, members: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message, code=code)
        self.status = status
        self.members: Mapping[str, Any] = members or {}  # Any: whatever JSON held

    @property
    def try_after(self) -> float | None:
        """Seconds after which it makes sense to ask again, if that was said."""
        said = self.members.get("check_after", self.members.get("retry_after"))
        is_time = isinstance(said, int | float) and 0 <= said <= _LONGEST_PAUSE
        return float(said) if is_time else None


class Busy(Refused):
    """Nothing was changed, and the same request may be sent again (429, 503, 409 while another one runs)."""

    code = "busy"


class IntegrityError(KeysteadError):
    """A signature, digest or sequence does not fit: what was read is not what Keystead wrote."""

    code = "integrity"


class NotAnAddress(KeysteadError, ValueError):
    """What was given as the address of Keystead is none."""

    code = "address_form"


class Unsafe(KeysteadError):
    """Something would put a secret where others can read it; it was not done."""

    code = "unsafe"


class MissingExtra(KeysteadError):
    """An optional package is needed for this; the message names it."""

    code = "missing_extra"
