"""Ask for keys, and follow what becomes of the requests: people decide about them in the browser."""

from __future__ import annotations

import argparse
import re
import uuid
from pathlib import Path
from typing import Any, Final

from keystead_client.cli.commands import NO, YES, account
from keystead_client.cli.output import show
from keystead_client.key_text import SECRET_PATTERN

REQUEST_COLUMNS = ("number", "id", "state", "service", "environment", "owner_team", "created_at")
# What no public key holds, all that Keystead refuses (keys/crypto/public_keys.py): how private keys begin, framed or not; and a JWK's.
_PRIVATE: Final = re.compile(
    r'PRIVATE[ _-]?KEY|PuTTY-User-Key-File|SECRET-KEY|MC4CAQAwBQYDK2Vw|MFECAQEwBQYDK2Vw|b3BlbnNzaC1rZXktdjE|"d"\s*:',
    re.IGNORECASE,
)


def request(typed: argparse.Namespace) -> int:
    """Ask for a key."""
    wish: dict[str, Any] = {
        "service": typed.service,
        "environment": typed.environment,
        "owner_team": typed.team,
        "name": typed.name,
        "consumer": typed.consumer,
        "purpose": typed.purpose,
        "scopes": typed.scope,
        "cryptoperiod_days": typed.cryptoperiod_days,
        "authorised_days": typed.authorised_days,
        "networks": typed.network,
        "self_fetch": typed.self_fetch,
        "ticket": typed.ticket,
        "kind": typed.kind or ("ed25519" if typed.public_key else "bearer"),
        "public_key": typed.public_key or "",
        "verifies_service": typed.verifies,
        "verifies_environment": typed.environment if typed.verifies else "",
        "limits": _given(requests_per_minute=typed.per_minute, requests_per_day=typed.per_day),
    }
    if typed.recipient:
        wish["recipient"] = typed.recipient
    if plan := _given(overlap=typed.overlap, every_days=typed.every_days):
        wish["rotation"] = plan
    told = account(typed).post("/api/v1/requests", wish, once=typed.once or uuid.uuid4().hex)
    show(told, as_json=typed.json, columns=REQUEST_COLUMNS)
    return YES


def requests(typed: argparse.Namespace) -> int:
    """List requests, or show one; a denied one is a no."""
    asking = account(typed)
    if typed.id:
        told = asking.request(typed.id)
        show(told, as_json=typed.json, columns=(*REQUEST_COLUMNS, "question", "keys"))
        return YES if told["state"] != "denied" else NO
    rows = asking.every("/api/v1/requests", {"state": typed.state} if typed.state else {})
    show(rows, as_json=typed.json, columns=REQUEST_COLUMNS)
    return YES


def public_key(path: str) -> str:
    """Read the public half of a key pair. A private one is refused here, since Keystead would have seen it before it refuses it."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f"{path} cannot be read: {error}") from None
    if _PRIVATE.search(text) or SECRET_PATTERN.search(text):
        raise argparse.ArgumentTypeError(f"{path} holds a secret; it is the public key that is asked for")
    return text


def _given(**values: Any) -> dict[str, Any]:  # Any: words and numbers
    """What was typed, a zero too: what is out of range is for Keystead to refuse, not to forget."""
    return {name: value for name, value in values.items() if value not in (None, "")}
