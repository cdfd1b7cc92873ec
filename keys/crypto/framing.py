"""Turn values into bytes so that no two different lists of values give the same bytes.

Every value is a type letter, its length in bytes as four big-endian bytes, and the bytes. A MAC or associated
data over joined text would let `("ab", "c")` pass for `("a", "bc")`.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

Frameable = str | bytes | int | datetime | None | tuple[str, ...]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def _framed(letter: bytes, body: bytes) -> bytes:
    return letter + len(body).to_bytes(4, "big") + body


def microseconds(at: datetime) -> int:
    """Count microseconds since 1970 in UTC; a naive time is refused, for it means another instant on another machine."""
    if at.tzinfo is None:
        raise ValueError("a naive time has no place in a canonical form")
    return (at - _EPOCH) // _MICROSECOND


def frame_value(value: Frameable) -> bytes:
    """Frame one value: S text, B bytes, I whole number, T time, L list of texts, N nothing."""
    if value is None:
        return _framed(b"N", b"")
    if isinstance(value, str):
        return _framed(b"S", value.encode())
    if isinstance(value, bytes):
        return _framed(b"B", value)
    if isinstance(value, bool):
        raise TypeError("a truth value has no frame; name it with a word")
    if isinstance(value, int):
        return _framed(b"I", str(value).encode())
    if isinstance(value, datetime):
        return _framed(b"T", str(microseconds(value)).encode())
    if isinstance(value, tuple):
        return _framed(b"L", b"".join([_framed(b"S", item.encode()) for item in value]))
    raise TypeError("a value of this type has no frame")


def frame(values: Iterable[Frameable]) -> bytes:
    """Frame values in order."""
    return b"".join([frame_value(value) for value in values])


def frame_mapping(values: Mapping[str, str]) -> bytes:
    """Frame names and values sorted by name, so that the order of writing does not matter."""
    return frame([part for name in sorted(values) for part in (name, values[name])])
