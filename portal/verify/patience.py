"""Hang up on whoever sends half a question and pauses: the one thread that answers waits for the rest, and everybody behind it.

The server does not say which of its connections a request came on, so it is looked for among those from the same address: of those
that were not answered, the one that fell silent first when the waiting began; behind it all others wait. As a rule nobody else's is ended.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import struct
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import structlog

EVERY: Final = 0.25  # seconds between two looks
# A lost packet is sent again well within this. By looks and not by a clock: a process that was held up has not waited.
MOST_LOOKS: Final = 8
QUEUED: Final = 0.25  # seconds that a question may have waited for others before it was its turn
ROUNDED: Final = 0.02  # seconds: the system counts in ticks
_ONE_AFTER_THE_OTHER: Final = 0.02  # seconds that the thread that answers has to find its connection ended
_FILES: Final = Path("/dev/fd")
_TCP_INFO: Final[int | None] = getattr(socket, "TCP_INFO", None)  # where it is missing all connections are alike
# Of Linux's struct tcp_info: milliseconds since data was sent, and since it came, and how many packets of data were sent.
_FACTS: Final = struct.Struct("=44xI4xI100xI")
_log = structlog.get_logger("keystead.verification")


class _Awaited:
    """From where bytes are awaited, None: from nowhere. The text itself is another one for each request."""

    __slots__ = ("address",)

    def __init__(self) -> None:
        self.address: str | None = None


_awaited: Final = _Awaited()  # of the one thread that answers in this process


def read(environ: Mapping[str, Any], most: int) -> bytes:
    """Read so many bytes of a request's body, or all if they are fewer."""
    _awaited.address = environ.get("REMOTE_ADDR")
    try:
        body: bytes = environ["wsgi.input"].read(most)
        return body
    finally:
        _awaited.address = None


class Patience:
    """The thread beside the one that answers, which sees for how long that waits."""

    def __init__(self) -> None:
        self._address: str | None = None
        self._looks = 0
        self._looked_at = self._began_after = self._seen_at = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True, name="patience")

    def start(self) -> Patience:
        """Begin to look."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join(5)

    def look(self) -> None:
        """Hang up if the same bytes have been awaited at every look for long enough."""
        address, before = _awaited.address, self._looked_at
        self._looked_at = time.monotonic()
        if address is None or address is not self._address:
            self._address, self._looks = address, 0
            self._began_after, self._seen_at = before, self._looked_at
            return
        self._looks += 1
        if self._looks >= MOST_LOOKS:
            count = self._hang_up(address)
            _log.warning("half a question held everybody up", seconds=self._looks * EVERY, count=count)

    def _hang_up(self, address: str) -> int:
        """End one connection after the other until nothing is awaited there any more; how many it took."""
        count, now = 0, time.monotonic()
        waited = now - self._seen_at, now - self._began_after
        connections = connections_from(address)
        try:
            for connection in sorted(connections, key=lambda each: _unlikely(each, *waited)):
                if _awaited.address is not address:
                    break
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                count += 1
                self._over.wait(_ONE_AFTER_THE_OTHER)
        finally:
            for connection in connections:
                connection.close()
        return count

    def _follow(self) -> None:
        while not self._over.wait(EVERY):
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - without this thread half a question would end the answers for ever
                _log.error("nobody could be hung up on", exc_info=error)


def connections_from(address: str) -> list[socket.socket]:
    """Every connection from there to a port on which this process listens, each to be closed by the caller."""
    wanted = ipaddress.ip_address(address)
    opened = [each for each in map(_opened, _FILES.iterdir()) if each is not None]
    ports = {_port(each) for each in opened if each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)}
    found = []
    for each in opened:
        if _port(each) in ports and _peer(each) == wanted:
            found.append(each)
        else:
            each.close()
    return found


def _opened(file: Path) -> socket.socket | None:
    """A second name for a connection of this process: what it names stays the same when the first is closed."""
    try:
        number = os.dup(int(file.name))
    except OSError:
        return None  # it was closed meanwhile
    try:
        found = socket.socket(fileno=number)
    except OSError:
        os.close(number)
        return None  # another kind of file
    if found.family in (socket.AF_INET, socket.AF_INET6) and found.type == socket.SOCK_STREAM:
        return found
    found.close()
    return None


def _port(connection: socket.socket) -> int:
    return int(connection.getsockname()[1])


def _peer(connection: socket.socket) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(connection.getpeername()[0])
    except OSError:
        return None  # it listens, or is over


def _unlikely(connection: socket.socket, least: float, most: float) -> tuple[int, float]:
    """What puts those first that were not answered since they spoke, and fell silent when the waiting began: the first of them first.

    It began `least` to `most` seconds ago. Whoever came next waits for an answer too, as long as that but for some milliseconds.
    """
    if _TCP_INFO is None:
        return 0, 0.0
    told = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _FACTS.size)
    if len(told) < _FACTS.size:
        return 0, 0.0
    since_sent, since_came, answers = _FACTS.unpack(told)
    if answers > 0 and since_sent <= since_came:
        return 2, since_came
    silent = since_came / 1000
    return (0, -silent) if least - ROUNDED <= silent <= most + QUEUED else (1, abs(silent - least))
