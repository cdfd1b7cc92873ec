"""Write whole numbers in base62 with a fixed width, so that a text can be selected with one double click."""

from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PAIRS: Final = tuple(high + low for high in ALPHABET for low in ALPHABET)
_VALUES: Final = {character: value for value, character in enumerate(ALPHABET)}


def encode(number: int, *, width: int) -> str:
    """Write `number` most significant digit first, padded with zeros to exactly `width` characters."""
    if number < 0 or number >= 62**width:
        raise ValueError("number does not fit the width")
    pairs: list[str] = []
    rest = number
    for _ in range((width + 1) // 2):
        rest, pair = divmod(rest, 3844)
        pairs.append(_PAIRS[pair])
    return "".join(reversed(pairs))[-width:] if width else ""


def decode(text: str) -> int:
    """Read what `encode` wrote; any other character is a ValueError."""
    number = 0
    for character in text:
        value = _VALUES.get(character)
        if value is None:
            raise ValueError("not base62")
        number = number * 62 + value
    return number
