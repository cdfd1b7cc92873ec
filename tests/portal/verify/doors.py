"""Every way to ask the data plane about a key, as bytes on a kept connection to a real server."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back; `told` is all of it but the date."""

    status: int
    head: bytes
    body: bytes
    seconds: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def told(self) -> bytes:
        lines = [line for line in self.head.split(b"\r\n") if not line.lower().startswith(b"date:")]
        return b"\r\n".join([*lines, b"", self.body])


class Caller:
    """One kept connection; opened again when the server hung up."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ask(self, request: bytes) -> Answer:
        """Send and read one answer; a server may refuse before it has read all, and hang up then."""
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self.port), timeout=20)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began = time.perf_counter()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(request)
        head, body = self._read(self._socket)
        seconds = time.perf_counter() - began
        if len(request) > 100_000 or b"connection: close" in head.lower():
            self.close()
        return Answer(status=int(head[9:12]), head=head, body=body, seconds=seconds)

    def _read(self, connection: socket.socket) -> tuple[bytes, bytes]:
        data = b""
        while b"\r\n\r\n" not in data:
            came = connection.recv(65536)
            assert came, f"hung up after {data!r}"
            data += came
        head, _, body = data.partition(b"\r\n\r\n")
        named = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        length = int(named[0].partition(b":")[2]) if named else 0
        while len(body) < length:
            came = connection.recv(65536)
            assert came, "hung up in the middle of an answer"
            body += came
        return head, body


def written(path: str, body: bytes = b"", *headers: tuple[str, str], method: str = "POST", kind: str = JSON) -> bytes:
    """Write one request; a header may come as often as somebody likes."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *(f"{name}: {value}" for name, value in headers)]
    if body or method == "POST":
        lines += [f"Content-Length: {len(body)}", *([f"Content-Type: {kind}"] if kind else [])]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def bearer(credential: str) -> tuple[str, str]:
    return "Authorization", f"Bearer {credential}"


# How to ask about a presented key, and how to tell from the answer whether it was accepted.
DOORS: Final[Mapping[str, Callable[[str, str], bytes]]] = {
    "verify": lambda credential, key: written("/v1/verify", json.dumps({"key": key}).encode(), bearer(credential)),
    "batch": lambda credential, key: written(
        "/v1/verify:batch", json.dumps({"keys": [{"key": key}]}).encode(), bearer(credential)
    ),
    "introspect": lambda credential, key: written(
        "/oauth2/introspect", f"token={key}".encode(), bearer(credential), kind=FORM
    ),
    "forward-auth": lambda credential, key: written(
        "/v1/forward-auth", b"", ("Keystead-Credential", credential), bearer(key), method="GET"
    ),
}
SIGNED: Final = "/v1/verify-signature"


def signed(credential: str, question: object) -> bytes:
    """Ask about a signed request."""
    return written(SIGNED, json.dumps(question).encode(), bearer(credential))


def is_accepted(answer: Answer) -> bool:
    """Whether this answer lets the key in; any other than a plain yes or no is a mistake of the test."""
    if not answer.body:
        assert answer.status in (200, 401, 403), answer
        return answer.status == 200
    assert answer.status == 200, answer
    told = answer.json
    verdict = told["results"][0]["valid"] if "results" in told else told.get("valid", told.get("active"))
    assert isinstance(verdict, bool)
    return verdict
