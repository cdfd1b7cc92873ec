"""Send events as syslog (RFC 5424) over TLS (RFC 5425), TCP with octet counting (RFC 6587) or UDP (RFC 5426).

The address: `tls://host:6514?ca=/run/secrets/ca.pem&form=ocsf`. `form` is json (the exact payload), ocsf or cef; `ca`, and
`cert` with `key`, name files for TLS, which is never without verification.

Syslog has no receipts. Over a connection, events count as handed over when the receiver's machine has acknowledged every
byte; over UDP nobody knows. Each message carries its leaf, so that a receiver sees what came twice and what did not come.
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import socket
import ssl
import struct
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from audit.events import Severity
from audit.exporters import ocsf
from audit.forwarding import cef
from audit.forwarding.base import BadAddress, Forwarder, ForwardFailed, SealedEvent

TIMEOUT: Final = 5.0
PORTS: Final = {"tls": 6514, "tcp": 601, "udp": 514}
# Facility 13 is "log audit"; the severities are syslog's own.
_FACILITY: Final = 13
_SEVERITIES: Final[Mapping[str, int]] = {
    Severity.CRITICAL: 2,
    Severity.HIGH: 3,
    Severity.MEDIUM: 4,
    Severity.LOW: 5,
    Severity.INFORMATIONAL: 6,
}
# A number of one's own is given out by IANA; 32473 is the one that RFC 5612 sets aside for those who have none.
_ELEMENT: Final = "keystead@32473"
_UNPRINTABLE: Final = re.compile(r"[^\x21-\x7e]")

FORMS: Final[Mapping[str, Callable[[SealedEvent], str]]] = {
    "json": lambda event: event.payload.decode("utf-8"),
    "ocsf": lambda event: ocsf.encoded(ocsf.translated(event.facts, leaf=event.leaf)).decode("utf-8"),
    "cef": cef.line,
}


def message(event: SealedEvent, *, form: str, host: str) -> bytes:
    """Return the event as one syslog message, without framing."""
    facts = event.facts
    priority = _FACILITY * 8 + _SEVERITIES[Severity(facts["severity"])]
    own = {"leaf": str(event.leaf), "uid": facts["uid"], "outcome": facts["outcome"], "action": facts["action"]}
    told = " ".join(f'{name}="{_parameter(str(value))}"' for name, value in own.items())
    head = f"<{priority}>1 {facts['time']} {_header(host, 255)} keystead - {_header(str(facts['action']), 32)}"
    origin = f'[origin software="Keystead" swVersion="{_parameter(str(facts["app"]))}"]'
    return f"{head} {origin}[{_ELEMENT} {told}] {FORMS[form](event)}".encode()


def _header(text: str, longest: int) -> str:
    return _UNPRINTABLE.sub("", text)[:longest] or "-"


def _parameter(text: str) -> str:
    return re.sub(r'(["\\\]])', r"\\\1", text)


class Syslog(Forwarder):
    """One receiver of syslog."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        self.form = options.pop("form", "json")
        self.files = {name: options.pop(name, "") for name in ("ca", "cert", "key")}
        try:
            port = parts.port
        except ValueError as error:
            raise BadAddress(f"the port is none: {error}") from error
        if parts.scheme not in PORTS or not parts.hostname or parts.path not in ("", "/"):
            raise BadAddress("the address is tls://host:port, tcp://host:port or udp://host:port")
        if options or self.form not in FORMS or parts.username or parts.password:
            raise BadAddress("only form (json, ocsf, cef), ca, cert and key follow the question mark")
        if any(self.files.values()) and parts.scheme != "tls":
            raise BadAddress("only tls has files")
        if missing := [path for path in self.files.values() if path and not Path(path).is_file()]:
            raise BadAddress(f"no such file: {', '.join(missing)}")
        self.kind, self.host, self.port = parts.scheme, parts.hostname, port or PORTS[parts.scheme]
        self.sender = socket.gethostname()

    @property
    def receiver(self) -> str:
        """Name the receiver by where it is."""
        return f"syslog {self.kind}://{self.host}:{self.port}"

    def send(self, events: Sequence[SealedEvent]) -> None:
        """Hand them over on a connection of their own."""
        messages = [message(each, form=self.form, host=self.sender) for each in events]
        try:
            if self.kind == "udp":
                self._send_datagrams(messages)
            else:
                self._send_stream(messages)
        except ssl.SSLCertVerificationError as error:
            raise ForwardFailed("certificate_refused") from error
        except ssl.SSLError as error:
            raise ForwardFailed("tls_failed") from error
        except TimeoutError as error:
            raise ForwardFailed("timed_out") from error
        except OSError as error:
            raise ForwardFailed("unreachable") from error

    def _send_datagrams(self, messages: Sequence[bytes]) -> None:
        family, kind, protocol, _, address = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as line:
            line.connect(address)  # so that a machine that refuses can be heard
            for each in messages:
                line.send(each)

    def _send_stream(self, messages: Sequence[bytes]) -> None:
        framed = b"".join(b"%d %s" % (len(each), each) for each in messages)
        with socket.create_connection((self.host, self.port), timeout=TIMEOUT) as plain, self._wrapped(plain) as line:
            line.sendall(framed)
            _wait_until_acknowledged(line)
            if isinstance(line, ssl.SSLSocket):
                with contextlib.suppress(OSError):
                    line.unwrap()  # says that this is the end, and not a cut
            else:
                line.shutdown(socket.SHUT_WR)

    def _wrapped(self, plain: socket.socket) -> socket.socket:
        if self.kind != "tls":
            return plain
        context = ssl.create_default_context(cafile=self.files["ca"] or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.files["cert"]:
            context.load_cert_chain(self.files["cert"], self.files["key"] or None)
        return context.wrap_socket(plain, server_hostname=self.host)


def _wait_until_acknowledged(line: socket.socket) -> None:
    """Wait until the other machine has taken every byte; raise when the connection broke meanwhile."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        if error := line.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, "the receiver broke the connection")
        if not sys.platform.startswith("linux"):
            return  # elsewhere nobody says
        (waiting,) = struct.unpack("i", fcntl.ioctl(line.fileno(), termios.TIOCOUTQ, b"\0" * 4))
        if not waiting:
            return
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.002)
