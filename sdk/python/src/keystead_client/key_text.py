"""Read the text of a key, `ks_<env>_<kid>_<secret><check>`, offline, and digest it.

The check tells a typo or a stranger's string apart without asking anybody. It is no protection: whoever knows this
file can compute it.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from keystead_client.errors import MalformedKey
from keystead_client.secret import Secret

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECK_LENGTH: Final = 6
_CHECK_SEED: Final = zlib.crc32(b"keystead key text v1")
_LONGEST: Final = len("ks_person__") + 16 + 49


def _pattern(tags: str) -> re.Pattern[str]:
    """Not anchors but borders: found inside a log line, never inside a longer word."""
    shape = rf"ks_(?P<environment>{tags})_(?P<kid>[0-9A-Za-z]{{12,16}})_(?P<tail>[0-9A-Za-z]{{49}})"
    return re.compile(rf"(?<![0-9A-Za-z_]){shape}(?![0-9A-Za-z_])", re.ASCII)


KEY_PATTERN: Final = _pattern("dev|test|prod")
# What stands for a person who signed a command line in: no key, and verified by nobody but Keystead's own API.
_TOKEN_PATTERN: Final = _pattern("person")
# What may lie nowhere: to be found and refused in the wrong place, never to be accepted.
SECRET_PATTERN: Final = _pattern("dev|test|prod|person")
_DOMAIN: Final = hashlib.sha256(b"keystead key digest v1\x00")


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedKey:
    """What a well-formed key text says about itself; nothing about whether it is known or valid."""

    environment: str
    kid: str

    @property
    def prefix(self) -> str:
        """The public beginning, safe to log and to show."""
        return f"ks_{self.environment}_{self.kid}"


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundKey:
    """A key inside a longer text, from `start` to `end`."""

    start: int
    end: int
    parsed: ParsedKey


def parse(text: str | Secret) -> ParsedKey:
    """Read a key text, offline; MalformedKey has the code `key_form` (not our shape) or `key_check` (mistyped)."""
    outcome = _read(text.reveal() if isinstance(text, Secret) else text)
    if isinstance(outcome, str):
        del text  # tracebacks can show the locals of a frame; this one must not keep the text
        raise MalformedKey("This is not the text of a key of Keystead, or it was mistyped.", code=outcome)
    return outcome


def kid_of(text: str | Secret) -> str | None:
    """Read the kid, which is public; None when the text is not a key's."""
    outcome = _read(text.reveal() if isinstance(text, Secret) else text)
    return None if isinstance(outcome, str) else outcome.kid


def is_token(text: str | Secret) -> bool:
    """Whether this is the token of a person at a command line, offline."""
    revealed = text.reveal() if isinstance(text, Secret) else text
    return isinstance(_read(revealed, _TOKEN_PATTERN), ParsedKey)


def find_keys(text: str) -> Iterator[FoundKey]:
    """Yield every well-formed key, and every token of a person (its environment is `person`), inside a longer text."""
    for match in SECRET_PATTERN.finditer(text):
        outcome = _read(match[0], SECRET_PATTERN)
        if isinstance(outcome, ParsedKey):
            yield FoundKey(start=match.start(), end=match.end(), parsed=outcome)


def digest(text: str | Secret) -> bytes:
    """Digest a key text as Keystead stores it (`sha256-ks1`): enough to find it, of no use to present it."""
    revealed = text.reveal() if isinstance(text, Secret) else text
    hasher = _DOMAIN.copy()
    hasher.update(revealed.encode("utf-8", "surrogatepass"))
    return hasher.digest()


def _read(text: str, pattern: re.Pattern[str] = KEY_PATTERN) -> ParsedKey | str:
    if len(text) > _LONGEST:
        return "key_form"
    match = pattern.fullmatch(text)
    if match is None:
        return "key_form"
    # A presented key is the caller's own text: comparing the check in variable time tells nobody anything.
    if _check_of(text[:-_CHECK_LENGTH]) != text[-_CHECK_LENGTH:]:
        return "key_check"
    return ParsedKey(environment=match["environment"], kid=match["kid"])


def _check_of(body: str) -> str:
    rest, characters = zlib.crc32(body.encode("ascii"), _CHECK_SEED), ""
    for _ in range(_CHECK_LENGTH):
        rest, digit = divmod(rest, 62)
        characters = _ALPHABET[digit] + characters
    return characters
