"""Carry requests to Keystead over kept connections: bounded in time and size, no redirects, no secrets in the clear.

Built on http.client alone: a security library that every service loads should bring no dependencies to watch.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from keystead_client.connections import Connection, ConnectionOverTLS
from keystead_client.errors import Busy, KeysteadError, NotAnAddress, Refused, Unreachable, Unsafe

_MOST_BYTES: Final = 4 * 1024 * 1024
_LONGEST_LINE: Final = 64 * 1024
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
# What the other side does to a kept connection that it had closed meanwhile: nothing was read, so it is sent again.
_CLOSED_MEANWHILE: Final = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """One HTTP answer."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    def json(self) -> Any:  # Any: whatever JSON held
        """Read the body, or say that it is not Keystead's."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise Unreachable("The answer is not JSON; is this the address of Keystead?", code="not_json") from None


class _Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes | None
    timeout: float
    most_bytes: int


class Stream:
    """The lines of an answer that does not end. One thread reads, says and closes; any other may hang up."""

    def __init__(
        self, connection: Connection, answer: http.client.HTTPResponse, wire: socket.socket | None, *, speaks: bool
    ) -> None:
        self._connection, self._answer, self._wire = connection, answer, wire
        self.speaks = speaks  # whether the request goes on, too

    def __iter__(self) -> Iterator[str]:
        begun = b""
        try:
            while piece := self._answer.read1(_LONGEST_LINE):
                *whole, begun = (begun + piece).split(b"\n")
                if len(begun) > _LONGEST_LINE:
                    raise http.client.HTTPException("the line is too long")
                for line in whole:
                    yield line.decode("utf-8", "replace").rstrip("\r")
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise _unreachable(error) from None

    def say(self, line: bytes) -> None:
        """Send one more line of the request (a chunk: RFC 9112, 7.1); Unreachable when it cannot be sent."""
        try:
            if self._wire is None:
                raise ConnectionError("the connection was taken over")
            self._wire.sendall(b"%x\r\n%s\n\r\n" % (len(line) + 1, line))
        except OSError as error:
            raise _unreachable(error) from None

    def hang_up(self) -> None:
        """Let the thread that waits for a line get Unreachable, or the end."""
        with contextlib.suppress(OSError):
            if self._wire is not None:
                self._wire.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the connection back to the system."""
        self._answer.close()
        self._connection.close()


class Transport:
    """Connections to one Keystead, shared by the threads of a process; a forked child opens its own."""

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 2.0,
        connections: int = 16,
        tls: ssl.SSLContext | None = None,
        allow_plain_http: bool = False,
    ) -> None:
        address, port = _read_address(url)
        if not 0 < timeout <= threading.TIMEOUT_MAX:
            raise ValueError("timeout is a number of seconds, more than 0")
        if not allow_plain_http and not is_private(address.scheme, address.hostname or ""):
            raise Unsafe("Plain http would show every key to the network: use https, or say allow_plain_http=True.")
        self.url = url.rstrip("/")
        self._path = address.path.rstrip("/")
        self._host, self._port = address.hostname or "", port
        self._tls = (tls or ssl.create_default_context()) if address.scheme == "https" else None
        self._timeout, self._most_idle, self._allow_plain_http = timeout, connections, allow_plain_http
        self._idle: list[Connection] = []
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float | None = None,
        most_bytes: int = _MOST_BYTES,
    ) -> Reply:
        """Send one request and read the whole answer; Unreachable when there is none."""
        asked = _Request(method, self._path + path, dict(headers or {}), body, timeout or self._timeout, most_bytes)
        kept = self._take()
        if kept is not None:
            try:
                return self._exchange(kept, asked)
            except _CLOSED_MEANWHILE:
                pass  # by an idle server; a fresh connection tells whether anybody is there
            except (OSError, http.client.HTTPException) as error:
                raise _unreachable(error) from None
        try:
            return self._exchange(self._open(), asked)
        except (OSError, http.client.HTTPException) as error:
            raise _unreachable(error) from None

    def stream(self, path: str, *, headers: Mapping[str, str], timeout: float, speaks: bool = False) -> Stream:
        """Start a request whose answer is read line by line as it comes; one that speaks goes on by `say` meanwhile."""
        connection = self._open()
        try:
            _limit(connection, timeout)
            if speaks:
                headers = {**headers, "Content-Type": "application/x-ndjson", "Transfer-Encoding": "chunked"}
            connection.ask("POST" if speaks else "GET", self._path + path, headers=headers)
            wire = connection.sock  # the answer may take it over
            answer = connection.getresponse()
            if answer.status != 200:
                raise_for(Reply(status=answer.status, headers=_lower(answer), body=answer.read(_MOST_BYTES)))
                raise http.client.HTTPException("no stream was answered")
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise _unreachable(error) from None
        except KeysteadError:
            connection.close()
            raise
        return Stream(connection, answer, wire, speaks=speaks)

    def elsewhere(self, url: str) -> Transport:
        """Speak in the same manner to another address, one that Keystead named; Unreachable where that is none."""
        try:
            return Transport(
                url,
                timeout=self._timeout,
                connections=1,
                tls=self._tls,
                allow_plain_http=self._allow_plain_http,
            )
        except ValueError:
            raise Unreachable("Keystead named an address that is none.", code="not_an_address") from None

    def close(self) -> None:
        """Close the idle connections; a later request opens new ones."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def __del__(self) -> None:
        for connection in getattr(self, "_idle", ()):
            connection.close()

    def _take(self) -> Connection | None:
        with self._lock:
            if self._pid != os.getpid():
                # A child of fork shares its parent's sockets: two speakers on one connection would swap answers.
                self._idle, self._pid = [], os.getpid()
            return self._idle.pop() if self._idle else None

    def _give_back(self, connection: Connection) -> None:
        with self._lock:
            if len(self._idle) < self._most_idle and self._pid == os.getpid():
                self._idle.append(connection)
                return
        connection.close()

    def _open(self) -> Connection:
        if self._tls is None:
            return Connection(self._host, self._port, timeout=self._timeout)
        return ConnectionOverTLS(self._host, self._port, timeout=self._timeout, context=self._tls)

    def _exchange(self, connection: Connection, asked: _Request) -> Reply:
        reusable = False
        try:
            _limit(connection, asked.timeout)
            connection.ask(asked.method, asked.path, headers=asked.headers, body=asked.body)
            answer = connection.getresponse()
            content = answer.read(asked.most_bytes + 1)
            if len(content) > asked.most_bytes:
                raise http.client.HTTPException("the answer is too long")
            reusable = not answer.will_close and answer.isclosed()
            return Reply(status=answer.status, headers=_lower(answer), body=content)
        finally:
            if reusable:
                self._give_back(connection)
            else:
                connection.close()


def is_private(scheme: str, host: str) -> bool:
    """Whether what goes there is for nobody else to read: by TLS, or because it does not leave the machine."""
    return scheme == "https" or host in _LOOPBACK


def _limit(connection: Connection, seconds: float) -> None:
    connection.timeout = seconds
    if isinstance(connection.sock, socket.socket):
        connection.sock.settimeout(seconds)


def _lower(answer: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.getheaders()}


def _unreachable(error: Exception) -> Unreachable:
    # The class and its words, never the request: it held a secret.
    return Unreachable(f"Keystead did not answer: {type(error).__name__}: {error}")


def _read_address(url: str) -> tuple[SplitResult, int | None]:
    said = "the address of Keystead looks like https://keys.example.com"
    try:
        address = urlsplit(url)
        port = address.port
        (address.hostname or "").encode("idna")
    except ValueError:  # a port, a name or an IPv6 address that is none
        raise NotAnAddress(said) from None
    if address.scheme not in ("https", "http") or not address.hostname or address.query or address.fragment:
        raise NotAnAddress(said)
    return address, port


def raise_for(reply: Reply) -> None:
    """Turn a problem (RFC 9457) into an error; 2xx passes."""
    if 200 <= reply.status < 300:
        return
    try:
        problem = json.loads(reply.body)
    except (ValueError, RecursionError):
        problem = None
    if not isinstance(problem, dict) or not isinstance(problem.get("code"), str):
        raise Unreachable(f"Something answered {reply.status}, and not in the words of Keystead.", code="not_a_problem")
    words = str(problem.get("detail") or problem.get("title") or problem["code"])
    errors = problem.get("errors")
    for each in errors if isinstance(errors, list) and all(isinstance(each, dict) for each in errors) else ():
        words += f" {each.get('field')}: {each.get('detail') or each.get('code')}."
    after = reply.headers.get("retry-after", "")
    if after.isdigit():
        problem["retry_after"] = int(after)
    kind = Busy if reply.status in (429, 503) or problem["code"] == "idempotency_in_progress" else Refused
    raise kind(words, code=problem["code"], status=reply.status, members=problem)
