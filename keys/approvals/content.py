"""Give a request its canonical form: what approvers sign and what is issued are the same bytes."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from audit.canonical import canonical_json
from keys.policy.bounds import Wish
from keys.policy.rotation_plan import plan_in

CONTENT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Content:
    """The canonical request, version 1. The purpose is a commitment: the text itself stays erasable.

    A field that nothing fills yet (delivery) has its place from the first day, so that the digest of a request made today
    never changes its meaning.
    """

    name: str
    service: str
    environment: str
    owner_team: str
    recipient: str
    consumer: str
    scopes: tuple[str, ...]
    networks: tuple[str, ...] = ()
    kind: str = "bearer"
    cryptoperiod_days: int
    authorised_days: int
    purpose: dict[str, str]
    ticket: str = ""
    template: str = ""
    public_key: str | None = None
    delivery: dict[str, Any] | None = None
    limits: dict[str, int] = field(default_factory=dict)
    rotation: dict[str, Any] | None = None
    self_fetch: bool = False
    verifies: dict[str, str] | None = None
    renews: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The content as stored and hashed."""
        body = asdict(self)
        return {"v": CONTENT_VERSION, **body, "scopes": list(self.scopes), "networks": list(self.networks)}

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON (RFC 8785), in hex."""
        return hashlib.sha256(canonical_json(self.as_json())).hexdigest()

    @property
    def wish(self) -> Wish:
        return Wish(
            kind=self.kind,
            scopes=self.scopes,
            networks=self.networks,
            cryptoperiod_days=self.cryptoperiod_days,
            authorised_days=self.authorised_days,
            ticket=self.ticket,
            self_fetch=self.self_fetch,
            rotation=plan_in(self.rotation) if self.rotation is not None else None,
        )


def content_of(stored: dict[str, Any]) -> Content:
    """Read stored content back; an unknown version or field is refused rather than guessed."""
    body = dict(stored)
    if body.pop("v", None) != CONTENT_VERSION or body.keys() != {each.name for each in fields(Content)}:
        raise ValueError("this content was written by another version of Keystead")
    return Content(**{**body, "scopes": tuple(body["scopes"]), "networks": tuple(body["networks"])})
