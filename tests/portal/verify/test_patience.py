"""The thread that answers is not kept waiting for the rest of a question, and only who keeps it waiting is hung up on."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest

from portal.verify import patience
from portal.verify.patience import MOST_LOOKS, Patience
from portal.verify.reading import Body

HERE, THERE = "127.0.0.1", "127.0.0.2"


class Line(NamedTuple):
    """Both ends of a connection: a client's, and the server's."""

    near: socket.socket
    far: socket.socket

    def is_open(self) -> bool:
        """Ask and be answered."""
        self.near.sendall(b"?")
        self.far.recv(1)
        self.far.sendall(b"!")
        return self.near.recv(1) == b"!"


class Reading:
    """A thread that reads a body of ten bytes, of which a client has sent some."""

    def __init__(self, line: Line, address: str) -> None:
        self.body = b"-"
        self._file = line.far.makefile("rb")
        environ = {"REMOTE_ADDR": address, "CONTENT_LENGTH": "10", "wsgi.input": self._file}
        self._thread = threading.Thread(target=self._read, args=(Body(environ),))
        self._thread.start()
        while patience._awaited.address is not address:
            pass

    @property
    def is_on(self) -> bool:
        return self._thread.is_alive()

    def ended(self) -> bytes:
        self._thread.join(60)
        assert not self._thread.is_alive()
        self._file.close()
        return self.body

    def _read(self, body: Body) -> None:
        self.body = body.read()


def connected(stack: ExitStack, server: socket.socket, address: str) -> Line:
    near = stack.enter_context(socket.create_connection(server.getsockname(), source_address=(address, 0)))
    near.settimeout(60)
    return Line(near, stack.enter_context(server.accept()[0]))


@pytest.fixture
def lines() -> Iterator[list[Line]]:
    """From here one that was answered and one that was not yet, and one from there."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server((HERE, 0)))
        found = [connected(stack, server, address) for address in (HERE, HERE, THERE)]
        assert found[0].is_open()
        assert found[2].is_open()
        yield found


def test_whoever_pauses_for_too_long_is_hung_up_on_and_nobody_else(lines: list[Line]) -> None:
    idle, half, elsewhere = lines
    half.near.sendall(b"half")
    reading = Reading(half, "".join(["127.", "0.0.1"]))
    watch = Patience()
    for _ in range(MOST_LOOKS):
        watch.look()
    assert reading.is_on, "hung up on before a packet that was lost could be sent again"
    watch.look()
    assert reading.ended() == b"half"
    assert half.near.recv(1) == b""
    assert idle.is_open()
    assert elsewhere.is_open()


def test_those_who_wait_behind_it_are_not_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them has asked, and was not answered since: as had the one that pauses, only a little before them."""
    monkeypatch.setattr(patience, "EVERY", 0.15 / MOST_LOOKS)
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server((HERE, 0)))
        half, *others = [connected(stack, server, HERE) for _ in range(6)]
        half.near.sendall(b"half")
        watch = Patience()
        reading = Reading(half, "".join(["127.", "0.0.1"]))
        for other in others:
            time.sleep(0.03)
            other.near.sendall(b"a whole question")
        watch.look()
        time.sleep(0.1)
        for _ in range(MOST_LOOKS):
            watch.look()
        assert reading.ended() == b"half"
        assert half.near.recv(1) == b""
        for other in others:
            other.far.sendall(b"!")
            assert other.near.recv(1) == b"!"


def test_many_who_send_all_are_never_taken_for_one_who_does_not(lines: list[Line]) -> None:
    watch, line = Patience(), lines[2]
    for _ in range(MOST_LOOKS + 2):
        reading = Reading(line, "".join(["127.", "0.0.2"]))
        watch.look()
        line.near.sendall(b"ten bytes!")
        assert reading.ended() == b"ten bytes!"
    watch.look()
    assert all(each.is_open() for each in lines)
