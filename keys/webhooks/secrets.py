"""Mint the secrets that sign deliveries, and seal each for its endpoint's row."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from standardwebhooks import Webhook

from keys.crypto.envelope import open_sealed, rewrap, seal
from keys.crypto.secrets import Secret
from keys.models import WebhookEndpoint
from keys.sealing import keyring

PREFIX: Final = "whsec_"
# Standard Webhooks asks for 24 to 64 random bytes.
SIZE: Final = 32


def mint() -> Secret:
    """A new secret, in the form that every Standard Webhooks library reads."""
    return Secret(PREFIX + base64.b64encode(secrets.token_bytes(SIZE)).decode("ascii"))


def _context(endpoint_id: UUID) -> dict[str, str]:
    return {"table": "keys_webhookendpoint", "id": str(endpoint_id), "environment": "people"}


def seal_secret(secret: Secret, *, endpoint_id: UUID) -> str:
    """Seal a secret so that it opens in this endpoint's row only."""
    return seal(secret.reveal_bytes(), context=_context(endpoint_id), keyring=keyring())


def open_secrets(endpoint: WebhookEndpoint, *, at: datetime) -> tuple[Secret, ...]:
    """The secrets that sign at `at`, the newest first: two while one replaces the other. IntegrityFailed when changed."""
    sealed = [endpoint.sealed_secret]
    if endpoint.previous_secret and endpoint.previous_until is not None and endpoint.previous_until > at:
        sealed.append(endpoint.previous_secret)
    return tuple(open_sealed(each, context=_context(endpoint.pk), keyring=keyring()) for each in sealed)


def rewritten(endpoint: WebhookEndpoint) -> dict[str, str]:
    """The secrets of an endpoint under the newest key-encryption key; CryptoError when one does not open."""
    stored = {"sealed_secret": endpoint.sealed_secret, "previous_secret": endpoint.previous_secret}
    context = _context(endpoint.pk)
    return {
        name: rewrap(sealed, context=context, keyring=keyring()) if sealed else "" for name, sealed in stored.items()
    }


def signature(secrets_: Sequence[Secret], *, message_id: str, at: datetime, body: str) -> str:
    """The value of `webhook-signature`: one signature for each secret, with a blank between."""
    return " ".join(Webhook(each.reveal()).sign(msg_id=message_id, timestamp=at, data=body) for each in secrets_)
