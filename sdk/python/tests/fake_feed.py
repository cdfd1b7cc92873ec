"""A Keystead whose snapshots and changes are signed, for in-process verifiers."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import time
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fake_keystead import Answer, Asked, FakeKeystead, problem

KID = "snap-1"
PLACE = ("5e55", "e417")  # the service and the environment
POLICY = {
    "scopes": ["orders:read"], "networks": [], "owner_team": "reporting", "service": "orders", "environment": "prod"
}  # fmt: skip


def base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def record(digest: bytes, kid: str, policy: int = 0, flags: int = 0, ends_at: int | None = None) -> bytes:
    ends = now_ms() + 3_600_000 if ends_at is None else ends_at
    return digest + struct.pack("<16sIIQ", kid.encode(), policy, flags, ends)


class FakeFeed:
    """What a portal would say; `change` and `lease_ms` say it anew."""

    def __init__(self, keystead: FakeKeystead) -> None:
        self.sign_with(KID)
        self.position, self.lease_ms, self.renew_ms = 0, 60_000, 20  # no machine is so slow that it would end by itself
        self.records: list[bytes] = []
        self.signers: list[bytes] = []
        self.policies = [POLICY]
        self.warned: dict[str, int] = {}
        self.changes: list[tuple[int, dict[str, Any]]] = []
        self.away = self.resync = self.broken = self.deaf = False
        self.hears = False  # on the line of the bell itself
        self.bell_url: str | None = None
        self.beside: dict[str, str] = {}  # where many are served at once
        self.past = "0123456789abcdef"
        self.applied: list[str] = []
        self.words: list[str] = []  # what was applied without a renewal
        self.uses: list[dict[str, Any]] = []
        keystead.on("GET /v1/jwks", lambda _: (200, {"keys": [{"kid": self.kid, "crv": "Ed25519", "x": self.x}]}))
        keystead.on(
            "POST /v1/verifiers",
            lambda _: (
                201,
                {"verifier": "v-1", "lease_ms": self.lease_ms, "renew_ms": self.renew_ms, "feed_hears": self.hears}
                | ({"feed": self.bell_url} if self.bell_url else {})
                | self.beside,
            ),
        )
        keystead.on("GET /v1/snapshot", lambda _: (200, self.snapshot()))
        keystead.on("POST /v1/verifiers/v-1/lease", self._lease)
        keystead.on("POST /beside/lease", self._lease)
        keystead.on("POST /beside/applied", self._applied)
        keystead.on("POST /v1/verifiers/v-1/uses", self._uses)
        keystead.on("DELETE /v1/verifiers/v-1", (204, b""))

    def sign_with(self, kid: str) -> None:
        """Sign with a new key from now on."""
        self.kid, self.key = kid, Ed25519PrivateKey.generate()
        self.x = base64url(self.key.public_key().public_bytes_raw())

    def header(self) -> dict[str, Any]:
        return {
            "kid": self.kid, "service": "orders", "environment": "prod", "position": self.at(),
            "service_id": PLACE[0], "environment_id": PLACE[1],
            "lease_ms": self.lease_ms, "count": len(self.records), "policies": self.policies, "warned": self.warned,
            "signers": base64url(b"".join(sorted(self.signers, key=lambda each: each[32:48]))),
        }  # fmt: skip

    def at(self, number: int | None = None) -> str:
        """Write a position: transactions in order, none of them open."""
        number = self.position if number is None else number
        return f"{number}:{number}:@{self.past}"

    def event(self, change: dict[str, Any], *, since: str, position: str, place: tuple[str, str] = PLACE) -> bytes:
        """Write the ring that brings a change."""
        told = {"changes": [change], "position": position, "since": since}
        signature = self.key.sign(f"keystead event v1\n{place[0]}\n{place[1]}\n{canonical(told)}".encode())
        return f"event: change\ndata: {canonical({**told, 'kid': self.kid, 'signature': base64url(signature)})}\n\n".encode()

    def snapshot(self) -> bytes:
        header = json.dumps(self.header()).encode()
        body = b"KSSNAP1\n" + struct.pack("<I", len(header)) + header + b"".join(sorted(self.records))
        return body + self.key.sign(b"keystead snapshot v1\n" + hashlib.sha256(body).digest())

    def change(
        self,
        *versions: dict[str, Any],
        signers: tuple[dict[str, Any], ...] = (),
        gone: tuple[str, ...] = (),
        key_id: str = "k-1",
    ) -> str:
        """Let a key change; return the position to wait for."""
        change = {"key_id": key_id, "versions": list(versions), "signers": list(signers), "gone": list(gone)}
        self.changes.append((self.position + 1, change))
        self.position += 1
        return self.at()

    def _lease(self, asked: Asked) -> Answer:
        if self.away:
            return problem("unavailable", 503)
        applied = asked.json["applied"]
        self.applied.append(applied)
        said = {
            "lease_ms": self.lease_ms, "position": self.at(), "resync": self.resync,
            "server_time": "a time that is none" if self.broken else now_ms(),
            "changes": [change for position, change in self.changes if position > int(applied.partition(":")[0])],
        }  # fmt: skip
        self.resync = False
        signature = self.key.sign(f"keystead changes v1\nv-1\n{applied}\n{canonical(said)}".encode())
        return 200, {**said, "signature": base64url(signature), "kid": self.kid}

    def _applied(self, asked: Asked) -> Answer:
        if self.deaf:
            return problem("resync", 409)
        self.words.append(asked.json["applied"])
        return 204, b""

    def _uses(self, asked: Asked) -> Answer:
        self.uses += asked.json["uses"]
        return 204, b""


def version(digest: bytes, kid: str, **changes: Any) -> dict[str, Any]:
    known = {"digest": digest.hex(), "kid": kid, "policy": POLICY, "retires": False, "warned": None}
    return {**known, "ends_at": now_ms() + 3_600_000, **changes}


def signing(public_key: bytes, kid: str, **changes: Any) -> dict[str, Any]:
    """A version that signs by a key pair, as a change tells of it."""
    known = {"public_key": base64url(public_key), "kid": kid, "policy": POLICY, "retires": False, "warned": None}
    return {**known, "ends_at": now_ms() + 3_600_000, **changes}
