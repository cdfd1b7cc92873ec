"""A wire between a verifier and an engine that a test can cut, or let hang."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from typing import Self


class Wire:
    """Carries TCP on this machine to a unix socket. Cut: everything ends at once. Silent: nothing arrives any more."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self._silent = threading.Event()
        self._cut = threading.Event()
        self._pairs: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._cut.set()
        for end in self._pairs:
            _end(end)
        self._pairs.clear()

    def silence(self) -> None:
        self._silent.set()

    def mend(self) -> None:
        """Carry again; what hung is ended, as a router does that comes back."""
        if self._silent.is_set():
            for end in self._pairs:
                _end(end)
            self._pairs.clear()
        self._silent.clear()
        self._cut.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            if self._cut.is_set():
                near.close()
                continue
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(str(self.target))
            except OSError:
                near.close()
                far.close()
                continue
            self._pairs += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                if self._silent.is_set():
                    continue  # it left, and never came
                other.sendall(data)
        _end(other)


def _end(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
