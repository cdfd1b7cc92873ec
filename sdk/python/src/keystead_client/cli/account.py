"""Know which Keystead the command line talks to, and as whom: by the environment, else by what `keystead login` stored."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from keystead_client.errors import KeysteadError, Refused
from keystead_client.key_text import is_token, parse
from keystead_client.secret import Secret
from keystead_client.stores import FileStore
from keystead_client.transport import Transport, raise_for


class NotSignedIn(KeysteadError):
    """Nobody said who asks."""

    code = "not_signed_in"


def store() -> FileStore:
    """Say where `login` keeps what it was given."""
    base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return FileStore(base / "keystead" / "credentials.json")


def store_folder() -> Path:
    """Make the folder of the store, for its owner alone."""
    base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    folder = base / "keystead"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


class Account:
    """A Keystead and the key, or the token of a person, with which it is asked."""

    def __init__(self, url: str, secret: Secret, *, allow_plain_http: bool = False) -> None:
        if not is_token(secret):
            parse(secret)
        self.url, self.secret = url.rstrip("/"), secret
        self.transport = Transport(url, timeout=15, connections=1, allow_plain_http=allow_plain_http)

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:  # Any: whatever the API answers
        """Read something."""
        return self._send("GET", path + (f"?{urlencode(query)}" if query else ""))

    def post(self, path: str, body: Mapping[str, Any], *, once: str = "") -> Any:  # Any: as above
        """Do something; under the same `once` it is done once, however often it is sent."""
        return self._send("POST", path, json.dumps(body).encode(), {"Idempotency-Key": once} if once else {})

    def every(self, path: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """Read all pages of a list."""
        rows: list[dict[str, Any]] = []
        asked = {**query, "limit": "100"}
        while True:
            page = self.get(path, asked)
            rows += page["results"]
            if page["next"] is None:
                return rows
            asked["cursor"] = page["next"]

    def key(self, name: str) -> dict[str, Any]:
        """Find a key by its number (KEY-7), the kid of a version, or its id."""
        if name.upper().startswith("KEY-"):
            found = self.get("/api/v1/keys", {"number": name.upper()})["results"]
        elif "-" not in name:
            found = self.get("/api/v1/keys", {"kid": name})["results"]
        else:
            return dict(self.get(f"/api/v1/keys/{name}"))
        if not found:
            raise KeysteadError(f"There is no key {name} that you may see.", code="not_found")
        return dict(self.get(f"/api/v1/keys/{found[0]['id']}"))

    def request(self, name: str) -> dict[str, Any]:
        """Find a request by its number (REQ-7) or its id."""
        if name.upper().startswith("REQ-"):
            found = self.get("/api/v1/requests", {"number": name.upper()})["results"]
            if not found:
                raise KeysteadError(f"There is no request {name} that you may see.", code="not_found")
            name = found[0]["id"]
        return dict(self.get(f"/api/v1/requests/{name}"))

    def _send(self, method: str, path: str, body: bytes | None = None, more: Mapping[str, str] | None = None) -> Any:
        headers = {"Authorization": f"Bearer {self.secret.reveal()}", "Accept": "application/json", **(more or {})}
        if body is not None:
            headers["Content-Type"] = "application/json"
        reply = self.transport.request(method, path, headers=headers, body=body)
        try:
            raise_for(reply)
        except Refused as refused:
            if refused.code != "invalid_token" or not is_token(self.secret):
                raise
            words = f"Your sign-in has ended. Begin a new one: keystead login --device --url {self.url}"
            raise Refused(words, code=refused.code, status=refused.status, members=refused.members) from None
        return reply.json() if reply.body else None


def signed_in(*, allow_plain_http: bool = False) -> Account:
    """Return the account that the environment names (KEYSTEAD_URL, KEYSTEAD_API_KEY or KEYSTEAD_API_KEY_FILE), else the stored one."""
    stored: dict[str, str] = {}
    url, key = os.environ.get("KEYSTEAD_URL", ""), os.environ.get("KEYSTEAD_API_KEY", "")
    if file := os.environ.get("KEYSTEAD_API_KEY_FILE"):
        try:
            key = Path(file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise NotSignedIn(f"KEYSTEAD_API_KEY_FILE cannot be read: {error}") from None
    if not (url and key):
        stored = json.loads(store().load() or "{}")
    url, key = url or stored.get("url", ""), key or stored.get("key", "")
    if not url or not key:
        raise NotSignedIn("Nobody is signed in: run `keystead login`, or set KEYSTEAD_URL and KEYSTEAD_API_KEY_FILE.")
    return Account(url, Secret(key), allow_plain_http=allow_plain_http)
