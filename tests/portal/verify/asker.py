"""Ask verifiers at a steady pace over many kept connections; a script of its own that imports nothing of Keystead's.

`python asker.py <questions a second> <connections> <port> [<port> ...]`. Each line on the standard input is what to ask from
now on: a number, a credential and a secret. For each question one record is written: see RECORD. It ends with its input.
"""

import contextlib
import os
import select
import socket
import struct
import sys
import time
from collections import deque

RECORD = struct.Struct(
    "<ddHHb"
)  # when it began (CLOCK_MONOTONIC), how long it took, about what (the number), port, what was said
YES, NO, NOTHING = 1, 0, -1
LONGEST = 20.0  # seconds until an answer is given up
RETRY = 0.1


class Line:
    """One connection, with one question on the way at most."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.socket: socket.socket | None = None
        self.data = b""
        self.began, self.number = 0.0, 0

    def connect(self) -> bool:
        try:
            self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=1)
        except OSError:
            return False
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return True

    def ask(self, number: int, request: bytes) -> None:
        assert self.socket is not None
        self.began, self.number, self.data = time.monotonic(), number, b""
        self.socket.sendall(request)

    def said(self) -> int | None:
        """Take what came: a verdict when the answer is whole, else None; OSError when there will be none."""
        assert self.socket is not None
        came = self.socket.recv(65536)
        if not came:
            raise ConnectionResetError
        self.data += came
        head, ended, body = self.data.partition(b"\r\n\r\n")
        if not ended:
            return None
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if len(body) < length:
            return None
        if not head.startswith(b"HTTP/1.1 200"):
            return NOTHING
        return YES if b'"valid":true' in body else NO

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None


class Asker:
    """The lines of one process and what they ask."""

    def __init__(self, rate: float, lines: list[Line]) -> None:
        self.pause = 1 / rate
        self.idle, self.dead = deque[Line](), deque((0.0, line) for line in lines)
        self.open: dict[int, Line] = {}
        self.busy: dict[int, Line] = {}
        self.poll = select.epoll()
        self.poll.register(0, select.EPOLLIN)
        self.number, self.request, self.records = 0, b"", b""

    def run(self) -> None:
        """Ask until the input ends."""
        due = time.monotonic()
        while True:
            for file, _ in self.poll.poll(max(0.0, due - time.monotonic())):
                if file == 0:
                    if not self.read_order():
                        return
                elif file in self.busy:
                    self.hear(self.busy[file])
                else:
                    self.idle.remove(self.open[file])  # nobody was asked, so the server hung up
                    self.close(self.open[file])
            now = time.monotonic()
            while self.dead and self.dead[0][0] <= now:
                self.revive(self.dead.popleft()[1])
            if now >= due:
                due = max(due + self.pause, now - 0.1)  # what could not be asked in time is not made up for
                if self.idle and self.request:
                    self.ask(self.idle.popleft())
                for line in [each for each in self.busy.values() if now - each.began > LONGEST]:
                    self.lose(line)
            if self.records:
                os.write(1, self.records)
                self.records = b""

    def read_order(self) -> bool:
        order = os.read(0, 4096).decode()
        if not order:
            return False
        number, credential, secret = order.splitlines()[-1].split()
        body = f'{{"key":"{secret}"}}'
        head = f"POST /v1/verify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer {credential}"
        self.number = int(number)
        self.request = f"{head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        return True

    def revive(self, line: Line) -> None:
        if not line.connect():
            self.dead.append((time.monotonic() + RETRY, line))
            return
        assert line.socket is not None
        self.poll.register(line.socket.fileno(), select.EPOLLIN)
        self.open[line.socket.fileno()] = line
        self.idle.append(line)

    def ask(self, line: Line) -> None:
        assert line.socket is not None
        self.busy[line.socket.fileno()] = line
        try:
            line.ask(self.number, self.request)
        except OSError:
            self.lose(line)

    def hear(self, line: Line) -> None:
        try:
            said = line.said()
        except (OSError, IndexError, ValueError):
            self.lose(line)
            return
        if said is not None:
            assert line.socket is not None
            self.tell(line, said)
            del self.busy[line.socket.fileno()]
            self.idle.append(line)

    def lose(self, line: Line) -> None:
        """Nothing was said, and this line is of no use any more."""
        assert line.socket is not None
        self.tell(line, NOTHING)
        del self.busy[line.socket.fileno()]
        self.close(line)

    def close(self, line: Line) -> None:
        assert line.socket is not None
        del self.open[line.socket.fileno()]
        self.poll.unregister(line.socket.fileno())
        line.close()
        self.dead.append((time.monotonic() + RETRY, line))

    def tell(self, line: Line, said: int) -> None:
        self.records += RECORD.pack(line.began, time.monotonic() - line.began, line.number, line.port, said)


if __name__ == "__main__":
    rate, width, *ports = sys.argv[1:]
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        Asker(float(rate), [Line(int(ports[each % len(ports)])) for each in range(int(width))]).run()
