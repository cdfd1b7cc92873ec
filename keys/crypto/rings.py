"""Keep the keys of one purpose together: one primary for new writes, the others so that old writes still verify."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from keys.crypto.errors import UnknownKey
from keys.crypto.secrets import Secret

KEY_LENGTH: Final = 32
KEY_ID_PATTERN: Final = re.compile(r"[a-z0-9][a-z0-9-]{2,62}", re.ASCII)
_ID_ALPHABET: Final = "23456789abcdefghjkmnpqrstuvwxyz"


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """One key of the keyring: named, dated and hidden."""

    id: str
    created_at: datetime
    secret: Secret

    @classmethod
    def generate(cls, purpose: str, *, at: datetime) -> "Key":
        """Make 256 random bits with an id that says purpose and month and never repeats."""
        when = at.astimezone(UTC)
        random_part = "".join(secrets.choice(_ID_ALPHABET) for _ in range(8))
        return cls(
            id=f"{purpose}-{when:%Y%m}-{random_part}",
            created_at=when,
            secret=Secret(secrets.token_bytes(KEY_LENGTH)),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Ring:
    """The keys of one purpose by id."""

    primary_id: str
    keys: Mapping[str, Key] = field(repr=False)

    def __post_init__(self) -> None:
        if self.primary_id not in self.keys:
            raise UnknownKey("the primary key of a ring is not in the ring")

    @property
    def primary(self) -> Key:
        """The key of new writes."""
        return self.keys[self.primary_id]

    def find(self, key_id: str) -> Key:
        """Return the key with this id; UnknownKey otherwise, never a stand-in."""
        key = self.keys.get(key_id)
        if key is None:
            raise UnknownKey("the keyring holds no key of that id for that purpose")
        return key

    def newest_first(self) -> tuple[Key, ...]:
        """Return the primary, then the others, youngest first."""
        others = [key for key in self.keys.values() if key.id != self.primary_id]
        return (self.primary, *sorted(others, key=lambda key: (key.created_at, key.id), reverse=True))

    @property
    def waiting(self) -> Key | None:
        """The next primary: it reads already, and writes from when every process that reads has it."""
        return self._youngest if self._youngest.created_at > self.primary.created_at else None

    @property
    def next_at(self) -> datetime:
        """When a next key is made at the earliest: the clock that made the last may have been ahead, and their order counts."""
        return self._youngest.created_at + timedelta.resolution

    @property
    def _youngest(self) -> Key:
        return max(self.keys.values(), key=lambda key: key.created_at)

    def with_waiting(self, key: Key) -> "Ring":
        """Return a ring in which `key` waits to be the primary."""
        if any(key.id == each.id or key.created_at <= each.created_at for each in self.keys.values()):
            raise ValueError("a key that waits is younger than all others, and its id is its own")
        return replace(self, keys={**self.keys, key.id: key})

    def promoted(self) -> "Ring":
        """Return a ring in which the key that waits makes new writes, and all others still verify."""
        if self.waiting is None:
            raise UnknownKey("no key of the ring waits")
        return replace(self, primary_id=self.waiting.id)

    def without(self, key_id: str) -> "Ring":
        """Return a ring that has forgotten an old key; what only that key made is lost for good."""
        if key_id == self.primary_id:
            raise ValueError("the primary key cannot be forgotten")
        self.find(key_id)
        return replace(self, keys={name: key for name, key in self.keys.items() if name != key_id})
