"""Write JSON in the one canonical form that can be hashed (RFC 8785), and read it strictly.

The allowed values are a subset of RFC 8785: keys are ASCII (so that code-point order is UTF-16 order), numbers are
integers within 2^53 - 1 (so that no two libraries disagree about a float), no NUL (PostgreSQL's jsonb cannot hold it),
and nesting is at most MAX_DEPTH.
"""

import json
from collections.abc import Mapping, Sequence
from typing import NoReturn, TypeAlias

JsonValue: TypeAlias = bool | int | str | Sequence["JsonValue"] | Mapping[str, "JsonValue"] | None

MAX_DEPTH = 10
MAX_INTEGER = 2**53 - 1

_encoder = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"), check_circular=False
)


class CanonicalError(ValueError):
    """The value or text has no canonical form."""


def canonical_json(value: JsonValue) -> bytes:
    """Encode `value` as RFC 8785 bytes; raise CanonicalError for anything two readers could read differently."""
    _check(value, 0)
    try:
        return _encoder.encode(value).encode("utf-8")
    except UnicodeEncodeError as error:
        raise CanonicalError("a text holds half of a surrogate pair") from error


def parse_strict(text: bytes) -> JsonValue:
    """Decode JSON bytes; refuse duplicate keys, floats, NUL, depth over MAX_DEPTH and broken UTF-8."""
    try:
        value: JsonValue = _decoder.decode(text.decode("utf-8"))
    except CanonicalError:
        raise
    except (ValueError, RecursionError) as error:
        raise CanonicalError(f"not JSON: {type(error).__name__}") from error
    _check(value, 0)
    return value


def _check(value: object, depth: int) -> None:
    # Exact types first: this runs for every value of every event.
    kind = type(value)
    if kind is str:
        _check_text(value)  # type: ignore[arg-type]  # narrowed by the exact type above
    elif value is None or kind is bool:
        return
    elif kind is int:
        if not -MAX_INTEGER <= value <= MAX_INTEGER:  # type: ignore[operator]  # narrowed as above
            raise CanonicalError("an integer is beyond 2^53 - 1: write it as text")
    elif isinstance(value, dict):
        _check_depth(depth)
        for key, item in value.items():
            if not isinstance(key, str) or not key.isascii():
                raise CanonicalError("keys must be ASCII text")
            if "\x00" in key:
                raise CanonicalError("a key holds NUL")
            _check(item, depth + 1)
    elif isinstance(value, list | tuple):
        _check_depth(depth)
        for item in value:
            _check(item, depth + 1)
    elif isinstance(value, str):
        _check_text(value)
    else:
        # Also the wall against secrets: a secret type is no str and has no encoder.
        raise CanonicalError(f"{kind.__name__} has no canonical form")


def _check_text(value: str) -> None:
    if "\x00" in value:
        raise CanonicalError("a text holds NUL")
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise CanonicalError("a text holds half of a surrogate pair") from error


def _check_depth(depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise CanonicalError(f"nested deeper than {MAX_DEPTH}")


def _object_without_duplicates(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise CanonicalError("an object names a key twice")
    return found


def _refuse_float(text: str) -> NoReturn:
    raise CanonicalError(f"{text[:20]} is not an integer")


# Made once: a new one for each text costs as much as a short text.
_decoder = json.JSONDecoder(
    object_pairs_hook=_object_without_duplicates, parse_float=_refuse_float, parse_constant=_refuse_float
)
