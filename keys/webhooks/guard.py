"""Open connections to public addresses only, and not one second longer than allowed.

`microsoft-antissrf` resolves a name once, refuses it when any of its addresses is not public, and connects to the very
address it judged. What it leaves to us: no proxy of the environment, no redirect, and an end to answers that trickle.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import requests
from AntiSSRF import AntiSSRFPolicy, PolicyConfigOptions
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

_LOOPBACK: Final = ["127.0.0.0/8", "::1/128"]
_here = threading.local()


class Deadline:
    """Ends every connection that this thread opened, when its time is over; each read alone would start a new timeout."""

    def __init__(self, seconds: float) -> None:
        self._line: socket.socket | None = None
        self._lock = threading.Lock()
        self.has_passed = False
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def watch(self, line: socket.socket) -> None:
        """Hold a second handle of the connection: wrapping it in TLS takes the first one away."""
        with self._lock:
            if self._line is not None:
                self._line.close()
            self._line = line.dup()
            if self.has_passed:
                self._shut()

    def _end(self) -> None:
        with self._lock:
            self.has_passed = True
            self._shut()

    def _shut(self) -> None:
        if self._line is not None:
            with suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def running(self) -> Iterator[Deadline]:
        """Let the time run for what this thread sends inside."""
        _here.deadline = self
        self._timer.start()
        try:
            yield self
        finally:
            self._timer.cancel()
            _here.deadline = None
            with self._lock:
                if self._line is not None:
                    self._line.close()
                    self._line = None


def _watched(line: socket.socket) -> socket.socket:
    deadline: Deadline | None = getattr(_here, "deadline", None)
    if deadline is not None:
        deadline.watch(line)
    return line


class _PlainLine(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _watched(super()._new_conn())


class _SecureLine(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _watched(super()._new_conn())


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainLine


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureLine


def guarded_session(*, loopback: bool) -> requests.Session:
    """A session that reaches public addresses by https; with `loopback` this machine too, also without TLS."""
    policy = AntiSSRFPolicy(PolicyConfigOptions.EXTERNAL_ONLY_LATEST)
    policy.add_xff_header = False  # it would say "true", which is no address and trips receivers up
    if loopback:
        policy.add_allowed_addresses(_LOOPBACK)
        policy.allow_plain_text_http = True
    session: requests.Session = policy.get_antissrf_session()
    session.trust_env = False  # a proxy would resolve the name itself, and .netrc would sign us in
    for adapter in session.adapters.values():
        assert isinstance(adapter, HTTPAdapter)
        adapter.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}
    return session
