"""A mail server on a loopback port that keeps what it accepted (RFC 5321, as little of it as a client needs)."""

import email
import socketserver
import threading
from email import policy
from email.message import EmailMessage
from typing import Self


class _Conversation(socketserver.StreamRequestHandler):
    server: "Postbox"

    def handle(self) -> None:
        self._say("220 postbox ready")
        while line := self.rfile.readline():
            word = line.split(maxsplit=1)[0].upper().decode() if line.strip() else ""
            if word == "DATA":
                self._say("354 go on")
                self.server.accept(self._message())
            self._say("221 bye" if word == "QUIT" else "250 ok")
            if word == "QUIT":
                return

    def _message(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        return b"".join(lines)

    def _say(self, words: str) -> None:
        self.wfile.write(f"{words}\r\n".encode())


class Postbox(socketserver.ThreadingTCPServer):
    """Use as a context; `mails` holds what was accepted."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.mails: list[EmailMessage] = []
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.server_address[1]}"

    def accept(self, message: bytes) -> None:
        with self._lock:
            self.mails.append(email.message_from_bytes(message, policy=policy.default))

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_failure: object) -> None:
        self.shutdown()
        self.server_close()
