"""Say which columns of a device sign-in, and of the session that comes of it, a row MAC covers."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import ClassVar

from keys.crypto.framing import Frameable, frame


class _Named:
    """Columns that are written with their names, in the order in which they are declared."""

    domain: ClassVar[str]

    def canonical(self) -> bytes:
        """Write every column with its name, after a domain that no other kind of row has."""
        parts: list[Frameable] = [self.domain]
        for each in fields(self):  # type: ignore[arg-type]  # whoever inherits is a dataclass
            parts += [each.name, getattr(self, each.name)]
        return frame(parts)


@dataclass(frozen=True, kw_only=True)
class SignInFields(_Named):
    """Which machine asked, and who answered what: whoever changed one of these by SQL gets no token."""

    domain = "keystead device sign-in mac v1"
    id: str
    device_hash: str
    code_hash: str
    name: str
    ip: str | None
    user_agent: str
    created_at: datetime
    expires_at: datetime
    person: str | None
    decided_at: datetime | None
    answer: str
    redeemed_at: datetime | None
    methods: tuple[str, ...]
    device: str
    assurance: str


@dataclass(frozen=True, kw_only=True)
class DeviceSessionFields(_Named):
    """Whose session a token opens and until when; when it was last seen is for people to read, and not in it."""

    domain = "keystead device session mac v1"
    id: str
    kind: str
    key_hash: str
    kid: str
    name: str
    person: str | None
    signed_in_at: datetime | None
    ends_at: datetime | None
    ip: str | None
    user_agent: str
    methods: tuple[str, ...]
    device: str
    assurance: str
    auth_hash: str
