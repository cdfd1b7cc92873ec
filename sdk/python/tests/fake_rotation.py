"""A Keystead that rotates one key as the real one does: what verifies, what was handed over, what is dead."""

from __future__ import annotations

import secrets
import threading
import zlib
from typing import Any

from fake_keystead import Answer, Asked, FakeKeystead, problem

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def mint() -> str:
    """A well-formed key text."""
    random = lambda length: "".join(secrets.choice(_DIGITS) for _ in range(length))  # noqa: E731
    body = f"ks_prod_{random(14)}_{random(43)}"
    rest, check = zlib.crc32(body.encode(), zlib.crc32(b"keystead key text v1")), ""
    for _ in range(6):
        rest, digit = divmod(rest, 62)
        check = _DIGITS[digit] + check
    return body + check


class FakeRotation:
    """One key. `prepare` makes a rotation due; `retire` ends the old version; `fail` breaks an answer, before or after its effect."""

    def __init__(self, keystead: FakeKeystead) -> None:
        self.first = mint()
        self.verifying: set[str] = {self.first}
        self.newest = self.first
        self.handed_over, self.token = "", ""
        self.state, self.overlap = "none", "24h"
        self.secrets_told: list[str] = []
        self.fail: list[str] = []  # "before next", "after activate", ...
        self.completed = 0
        self.lock = threading.Lock()
        keystead.on("GET /v1/rotation", self._guarded("get", self._get))
        keystead.on("POST /v1/rotation/next", self._guarded("next", self._next))
        keystead.on("POST /v1/rotation/activate", self._guarded("activate", self._activate))
        keystead.on(
            "GET /api", lambda asked: (200, {}) if asked.bearer in self.verifying else problem("invalid_token", 401)
        )

    def prepare(self, overlap: str = "24h") -> None:
        with self.lock:
            self.state, self.overlap, self.handed_over, self.token = "prepared", overlap, "", ""

    def retire(self) -> None:
        """The old version ends."""
        with self.lock:
            self.verifying = {self.newest}

    def revoke(self) -> None:
        with self.lock:
            self.verifying.clear()

    def _guarded(self, name: str, door: Any) -> Any:
        def answer(asked: Asked) -> Answer:
            with self.lock:
                if f"before {name}" in self.fail:
                    self.fail.remove(f"before {name}")
                    return problem("busy_retry", 503)
                said = door(asked)
                if f"after {name}" in self.fail:
                    self.fail.remove(f"after {name}")
                    return 502, b"the answer was lost"
                return said

        return answer

    def _get(self, asked: Asked) -> Answer:
        if asked.bearer not in self.verifying:
            return problem("invalid_token", 401)
        ready = self.state in ("prepared", "handed-over") and asked.bearer == self.newest
        is_current = asked.bearer == self.newest
        return 200, {
            "ready": ready,
            "state": self.state,
            "self_fetch": True,
            "is_current": is_current,
            "check_after": 60,
        }

    def _next(self, asked: Asked) -> Answer:
        if asked.bearer not in self.verifying:
            return problem("invalid_token", 401)
        if self.state == "activated":
            return problem("already_activated", 409, retire_at=None)
        if self.state not in ("prepared", "handed-over"):
            return problem("no_rotation", 409, check_after=60)
        token = asked.headers["idempotency-key"]
        if self.token and token != self.token:
            self.state = "none"
            return problem("fetched_by_another", 409)
        self.token, self.state, self.handed_over = token, "handed-over", mint()
        self.secrets_told.append(self.handed_over)
        return 200, {"secret": self.handed_over, "overlap": self.overlap}

    def _activate(self, asked: Asked) -> Answer:
        if asked.bearer == self.newest and self.state == "activated":
            return 200, {"state": "activated"}
        if asked.bearer != self.handed_over or self.state != "handed-over":
            return problem("invalid_token", 401)
        self.newest, self.state = self.handed_over, "activated"
        self.completed += 1
        self.verifying = {self.newest} if self.overlap == "now" else {self.newest, *list(self.verifying)}
        return 200, {"state": "activated"}
