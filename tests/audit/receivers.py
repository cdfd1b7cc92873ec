"""Receivers of syslog on loopback: TLS and TCP that take the framing apart as RFC 6587 says, and UDP."""

import datetime as dt
import socket
import ssl
import threading
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def certificate(folder: Path, name: str = "localhost") -> tuple[Path, Path]:
    """A certificate for `name` and its key, good for an hour."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(exist_ok=True, parents=True)
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file, key_file


class StreamReceiver:
    """Takes connections one after the other and reads frames from each until it ends."""

    def __init__(self, tls: tuple[Path, Path] | None = None) -> None:
        self.messages: list[bytes] = []
        self.connections = 0
        self._context = None
        if tls is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(*tls)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            try:
                with line, self._context.wrap_socket(line, server_side=True) if self._context else line as talk:
                    self._read(talk.makefile("rb"))
            except OSError:
                continue

    def _read(self, file) -> None:
        while head := _digits(file):
            size = int(head)
            body = file.read(size)
            assert len(body) == size
            self.messages.append(body)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(60)


def _digits(file) -> bytes:
    found = b""
    while (one := file.read(1)) not in (b"", b" "):
        assert one.isdigit(), "a frame begins with its length"
        found += one
    return found


@contextmanager
def stream_receiver(tls=None):
    receiver = StreamReceiver(tls)
    try:
        yield receiver
    finally:
        receiver.close()


@contextmanager
def datagram_receiver():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
        line.bind(("127.0.0.1", 0))
        line.settimeout(5)
        yield line
