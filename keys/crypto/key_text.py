"""Mint and read the text of a key: `ks_<env>_<kid>_<secret><check>`; and of what stands for a signed-in person.

A person's token says `person` where a key says its environment: one shape to search for, and neither reads as the other.

The check tells a typo or a stranger's string apart without a look-up. It is no protection: whoever knows this
file can compute it.
"""

import re
import secrets
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from keys.crypto import base62
from keys.crypto.errors import Malformed
from keys.crypto.secrets import Secret

ENVIRONMENT_TAGS: Final = ("dev", "test", "prod")
PERSON_TAG: Final = "person"
KID_LENGTH: Final = 14
SECRET_LENGTH: Final = 43  # 62**43 > 2**256
CHECK_LENGTH: Final = 6  # 62**6 > 2**32
# People read a kid aloud and retype it: no 0 O, no 1 I l. 14 of these 57 characters carry 81 bits.
KID_ALPHABET: Final = "".join(character for character in base62.ALPHABET if character not in "0O1Il")


def _pattern(*tags: str) -> re.Pattern[str]:
    """Not anchors but borders: found inside a log line, never inside a longer word."""
    shape = rf"ks_(?P<environment>{'|'.join(tags)})_(?P<kid>[0-9A-Za-z]{{12,16}})_(?P<tail>[0-9A-Za-z]{{49}})"
    return re.compile(rf"(?<![0-9A-Za-z_]){shape}(?![0-9A-Za-z_])", re.ASCII)


KEY_PATTERN: Final = _pattern(*ENVIRONMENT_TAGS)
TOKEN_PATTERN: Final = _pattern(PERSON_TAG)
# What may lie nowhere: to be found and withheld, never to be accepted.
SECRET_PATTERN: Final = _pattern(*ENVIRONMENT_TAGS, PERSON_TAG)
# Also in the middle of a word, and one of which only the beginning is left: that may be most of a secret.
_ANY_PIECE: Final = re.compile(r"ks_(?:dev|test|prod|person)_[0-9A-Za-z]{12,16}_[0-9A-Za-z]+", re.ASCII)
KID_PATTERN: Final = re.compile(r"[0-9A-Za-z]{12,16}", re.ASCII)
_LONGEST: Final = len("ks_person__") + 16 + SECRET_LENGTH + CHECK_LENGTH
# The tag makes the check ours: another vendor's CRC-32 over the same shape does not pass.
_CHECK_SEED: Final = zlib.crc32(b"keystead key text v1")


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyText:
    """A new key: its public identifier, its environment tag and, hidden, its text."""

    environment: str
    kid: str
    secret: Secret

    @property
    def prefix(self) -> str:
        """The public beginning, safe to store and show."""
        return f"ks_{self.environment}_{self.kid}"

    @property
    def last4(self) -> str:
        """The last four characters, which belong to the check and not to the secret, for people to compare."""
        return self.secret.reveal()[-4:]


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedKey:
    """What a well-formed key text says about itself; nothing about whether it is known or valid."""

    environment: str
    kid: str


def new_kid() -> str:
    """Return a fresh public identifier; a version has one before it has a secret."""
    return "".join(secrets.choice(KID_ALPHABET) for _ in range(KID_LENGTH))


def mint(environment_tag: str, *, kid: str | None = None) -> KeyText:
    """Make a key of 256 random bits for an environment tag, under a new kid or the one given."""
    if environment_tag not in ENVIRONMENT_TAGS:
        raise ValueError("unknown environment tag")
    chosen = new_kid() if kid is None else kid
    if not KID_PATTERN.fullmatch(chosen):
        raise ValueError("not a kid")
    secret = _assemble(environment_tag, chosen, secrets.randbits(256))
    return KeyText(environment=environment_tag, kid=chosen, secret=secret)


def mint_token() -> KeyText:
    """Make the text that stands for a signed-in person: 256 random bits under a public identifier."""
    kid = new_kid()
    secret = _assemble(PERSON_TAG, kid, secrets.randbits(256))
    return KeyText(environment=PERSON_TAG, kid=kid, secret=secret)


def is_token(text: str) -> bool:
    """Whether a text is a well-formed token of a person, offline."""
    return not isinstance(_read(text, TOKEN_PATTERN), str)


def _assemble(environment_tag: str, kid: str, number: int) -> Secret:
    body = f"ks_{environment_tag}_{kid}_{base62.encode(number, width=SECRET_LENGTH)}"
    return Secret(body + check_of(body))


def check_of(body: str) -> str:
    """Compute the six characters that end a key text.

    CRC-32 (finds every single wrong character), seeded, in base62.
    """
    return base62.encode(zlib.crc32(body.encode("ascii"), _CHECK_SEED), width=CHECK_LENGTH)


def parse(text: str | Secret) -> ParsedKey:
    """Read a key text, offline. Malformed has the code `key_form` (not our shape) or `key_check` (mistyped)."""
    outcome = _read(text.reveal() if isinstance(text, Secret) else text)
    if isinstance(outcome, str):
        # Tracebacks can show the locals of a frame; this one must not keep the text.
        del text
        raise Malformed(outcome)
    return ParsedKey(environment=outcome["environment"], kid=outcome["kid"])


def is_well_formed(text: str) -> bool:
    """Whether `parse` would read it."""
    return not isinstance(_read(text), str)


def _read(text: str, pattern: re.Pattern[str] = KEY_PATTERN) -> re.Match[str] | str:
    if len(text) > _LONGEST:
        return "key_form"
    match = pattern.fullmatch(text)
    if match is None:
        return "key_form"
    # A presented key is the caller's own text: comparing the check in variable time tells nobody anything.
    return match if check_of(text[:-CHECK_LENGTH]) == text[-CHECK_LENGTH:] else "key_check"


def without_keys(text: str) -> str:
    """Say the same without the keys in it, whole or cut off."""
    return _ANY_PIECE.sub("[key withheld]", text)


def find_keys(text: str) -> Iterator[tuple[int, int, ParsedKey]]:
    """Yield start, end and what it says for every well-formed key, and token of a person, inside a longer text."""
    for match in SECRET_PATTERN.finditer(text):
        if not isinstance(_read(match[0], SECRET_PATTERN), str):
            yield match.start(), match.end(), ParsedKey(environment=match["environment"], kid=match["kid"])
