"""Be many programs in one process, for machines that are not here: `python -m benchmarks.verify.crowd URL CREDENTIAL COUNT`.

Each of them has a line and a lease of its own, is told what a program is told, says what a program says, and as soon. An event is read and
its signature checked once for all of them; nothing is decided about keys. So what is timed with them is Keystead, and not its clients.
"""

from __future__ import annotations

import json
import re
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from keystead_client.credentials import as_credential
from keystead_client.events import Event, reaches, read_event
from keystead_client.snapshots import read_snapshot
from keystead_client.transport import Transport

_EVENT: Final = re.compile(rb"event: change\ndata: (.*)\n\n")
_LENGTH: Final = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_reaches: Final = lru_cache(maxsize=10_000)(reaches)


class Line:
    """One connection to the feed that is read as something comes."""

    def __init__(self, host: str, port: int, poll: select.epoll, heard: Callable[[bytes], bytes]) -> None:
        self._socket = socket.create_connection((host, port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._heard, self._rest = heard, b""
        self.number = self._socket.fileno()
        poll.register(self.number, select.EPOLLIN)

    def say(self, text: bytes) -> None:
        self._socket.sendall(text)

    def hear(self) -> None:
        """Take what came; whoever hears it returns what is not whole yet."""
        came = self._socket.recv(65_536)
        if not came:
            raise RuntimeError("the feed hung up")
        self._rest = self._heard(self._rest + came)


class Crowd:
    """The programs, and what they know."""

    def __init__(self, url: str, credential: str, count: int) -> None:
        self._site = Transport(url, timeout=20, connections=1)
        self._bearer = f"Bearer {as_credential(credential).current().reveal()}"
        self._keys = {each["kid"]: each["x"] for each in self._ask("GET", "/v1/jwks")["keys"]}
        self.poll = select.epoll()
        registered = [self._ask("POST", "/v1/verifiers", {"name": f"crowd-{place}"}) for place in range(count)]
        reply = self._site.request("GET", "/v1/snapshot", headers=self._headers, timeout=60, most_bytes=1 << 30)
        self.snapshot = read_snapshot(reply.body, keys=self._keys)
        self.every = registered[0]["renew_ms"] / 1000
        self.event = lru_cache(maxsize=100)(self._event)
        self.programs = [Program(self, each, self.snapshot.position) for each in registered]
        self._by_number = {line.number: line for each in self.programs for line in (each.line, each.leases)}

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": self._bearer, "Content-Type": "application/json"}

    def _ask(self, method: str, path: str, body: object = None) -> Any:  # Any: JSON
        content = None if body is None else json.dumps(body).encode()
        return self._site.request(method, path, headers=self._headers, body=content).json()

    def _event(self, text: bytes) -> Event | None:
        return read_event(text.decode(), keys=self._keys, place=self.snapshot.place)

    def head(self, path: str, host: str, *more: str) -> bytes:
        """Write the head of a request."""
        lines = (f"POST {path} HTTP/1.1", f"Host: {host}", f"Authorization: {self._bearer}", *more)
        return "\r\n".join([*lines, "", ""]).encode()

    def live(self) -> None:
        """Renew each lease in its turn, and hear, for ever."""
        began = time.monotonic()
        turns = deque((began + self.every * n / len(self.programs), each) for n, each in enumerate(self.programs))
        while True:
            while turns[0][0] <= time.monotonic():
                due, program = turns.popleft()
                turns.append((due + self.every, program))
                program.renew()
            for number, _ in self.poll.poll(max(0.0, turns[0][0] - time.monotonic())):
                self._by_number[number].hear()


class Program:
    """One of them: where it stands, its line, and the connection over which its lease is renewed."""

    def __init__(self, crowd: Crowd, registered: dict[str, Any], position: str) -> None:
        self._crowd, self._position, self._verifier = crowd, position, registered["verifier"]
        there = urlsplit(registered["feed"])
        host, self._host = there.hostname or "", there.netloc
        self._lease, self._applied = urlsplit(registered["lease"]).path, urlsplit(registered["applied"]).path
        self._is_asking = False
        self.line = Line(host, there.port or 80, crowd.poll, self._told)
        self.leases = Line(host, there.port or 80, crowd.poll, self._answered)
        kind = "Content-Type: application/x-ndjson"
        self.line.say(crowd.head(there.path, self._host, kind, "Transfer-Encoding: chunked"))

    def renew(self) -> None:
        """Ask for a lease, unless an answer is on its way."""
        if not self._is_asking:
            self._ask(self._lease)

    def _ask(self, path: str) -> None:
        self._is_asking = True
        body = json.dumps({"applied": self._position}).encode()
        kind = "Content-Type: application/json"
        self.leases.say(self._crowd.head(path, self._host, kind, f"Content-Length: {len(body)}") + body)

    def _told(self, came: bytes) -> bytes:
        for found in _EVENT.finditer(came):
            event = self._crowd.event(found[1])
            if event is None or not _reaches(self._position, event.since):
                self.renew()
            elif not _reaches(self._position, event.position):
                self._position = event.position
                word = json.dumps({"verifier": self._verifier, "applied": event.position}).encode() + b"\n"
                self.line.say(b"%x\r\n%s\r\n" % (len(word), word))
        return came[came.rfind(b"\n\n") + 2 :] if b"\n\n" in came else came

    def _answered(self, came: bytes) -> bytes:
        head, end, body = came.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or (length is not None and len(body) < int(length[1])):
            return came
        if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 204")):
            raise RuntimeError(f"a lease was not renewed: {head!r} {body!r}")
        self._is_asking = False
        if body:
            said = json.loads(body)
            if not _reaches(self._position, said["position"]):
                self._position = said["position"]
                if said["changes"]:
                    self._ask(self._applied)
        return b""


if __name__ == "__main__":
    Crowd(sys.argv[1], sys.argv[2], int(sys.argv[3])).live()
