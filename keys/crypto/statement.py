"""Write the statement that an approver's passkey signs.

The WebAuthn challenge is the SHA-256 of the canonical statement, so the signature proves this decision on
this content by this person, and not merely that somebody signed in.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from audit.canonical import canonical_json
from keys.crypto import base64url

VERSION: Final = "keystead-approval-1"
NONCE_LENGTH: Final = 32
_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


def new_nonce() -> str:
    """Return 256 random bits: each statement is signed at most once."""
    return base64url.encode(secrets.token_bytes(NONCE_LENGTH))


@dataclass(frozen=True, kw_only=True, slots=True)
class ApprovalStatement:
    """One decision of one approver on exactly one content of a request."""

    decision: str
    request: str
    # SHA-256 of the canonical request, in hex.
    content_digest: str
    approver: str
    nonce: str
    expires_at: datetime

    def __post_init__(self) -> None:
        if not (self.decision and self.request and self.approver):
            raise ValueError("a statement names decision, request and approver")
        if not _DIGEST.fullmatch(self.content_digest) or not _NONCE.fullmatch(self.nonce):
            raise ValueError("a statement has a SHA-256 in hex and a nonce of 256 bits")
        if self.expires_at.tzinfo is None:
            raise ValueError("a statement ends at a time with a zone")

    def canonical(self) -> bytes:
        """Return the bytes to store (RFC 8785)."""
        return canonical_json(
            {
                "version": VERSION,
                "decision": self.decision,
                "request": self.request,
                "content_digest": {"alg": "sha-256", "hex": self.content_digest},
                "approver": self.approver,
                "nonce": self.nonce,
                "expires_at": self.expires_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            }
        )

    @property
    def challenge(self) -> bytes:
        """Return the WebAuthn challenge."""
        return challenge_of(self.canonical())


def challenge_of(canonical: bytes) -> bytes:
    """Return the challenge of a stored statement: the SHA-256 of its bytes."""
    return hashlib.sha256(canonical).digest()
