"""Ask a server as fast as it answers: raw sockets, several questions on the way on each, every answer counted."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.measuring import percentile, processor_seconds
from benchmarks.verify.serving import Server

LINE = b"HTTP/1.1 200"
YES = (b'"valid":true', b'"active":true')


@dataclass(frozen=True, kw_only=True)
class Driven:
    """What came back in a round."""

    answers: int
    accepted: int
    rate: float  # answers a second
    cpu: float  # microseconds of the server's worker for each answer
    p99: float  # milliseconds


class _Line:
    """One connection with `depth` questions on the way."""

    def __init__(self, port: int, questions: Sequence[bytes], place: int, depth: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.questions, self.place, self.depth = questions, place, depth
        self.waiting = 0
        self.sent_at = 0.0
        self.tail = b""

    def send(self) -> None:
        count = len(self.questions)
        batch = b"".join(self.questions[(self.place + each) % count] for each in range(self.depth))
        self.place = (self.place + self.depth) % count
        self.waiting, self.sent_at = self.depth, time.perf_counter()
        self.socket.setblocking(True)
        self.socket.sendall(batch)
        self.socket.setblocking(False)

    def receive(self) -> tuple[int, int]:
        """Count answers in what came; a word that is cut in two is counted with the rest of it."""
        data = self.tail + self.socket.recv(262_144)
        if data == self.tail:
            raise RuntimeError("the server hung up")
        # What may be the beginning of one of our words stays for the next time, and is counted only then.
        keep = max((n for n in range(1, 13) if any(w.startswith(data[-n:]) for w in (LINE, *YES))), default=0)
        whole = data[: len(data) - keep] if keep else data
        self.tail = data[len(data) - keep :] if keep else b""
        answered = whole.count(LINE)
        self.waiting -= answered
        return answered, sum(whole.count(word) for word in YES)


def drive(
    server: Server, questions: Sequence[bytes], *, seconds: float, connections: int, depth: int, apart: int = 7919
) -> Driven:
    """Ask for some seconds; all answers must be 200. Each connection begins `apart` questions after the one before."""
    lines = [_Line(server.port, questions, place * apart, depth) for place in range(connections)]
    of = {line.socket.fileno(): line for line in lines}
    poll = select.epoll()
    for number in of:
        poll.register(number, select.EPOLLIN)
    answers = accepted = 0
    times: list[float] = []
    before, began = processor_seconds(server.worker), time.perf_counter()
    for line in lines:
        line.send()
    over, open_lines = began + seconds, len(lines)
    while open_lines:
        for number, _ in poll.poll(20):
            line = of[number]
            count, yes = line.receive()
            answers, accepted = answers + count, accepted + yes
            if line.waiting:
                continue
            now = time.perf_counter()
            times.append(now - line.sent_at)
            if now < over:
                line.send()
            else:
                open_lines -= 1
        if time.perf_counter() > over + 30:
            raise RuntimeError("answers are missing: not every question was answered with 200")
    passed = time.perf_counter() - began
    cpu = processor_seconds(server.worker) - before
    for line in lines:
        line.socket.close()
    return Driven(
        answers=answers,
        accepted=accepted,
        rate=answers / passed,
        cpu=cpu / answers * 1e6,
        p99=percentile(times, 0.99) * 1000,
    )


def must_refuse(server: Server, request: bytes) -> None:
    """Ask as nobody: a figure about a server that lets everybody in would mean nothing."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(request)
        said = connection.recv(12)
    if not said.startswith((b"HTTP/1.1 401", b"HTTP/1.1 403")):
        raise RuntimeError(f"a stranger was answered {said!r}")


def question(path: str, body: bytes, *, kind: str = "application/json", **headers: str) -> bytes:
    """Write one request."""
    named = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n{named}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
