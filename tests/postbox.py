"""A mail server on a loopback port that keeps what it accepted (RFC 5321, as little of it as a client needs)."""

import email
import socketserver
import threading
import time
from collections.abc import Collection
from email import policy
from email.message import EmailMessage
from typing import Self


class _Conversation(socketserver.StreamRequestHandler):
    server: "Postbox"

    def handle(self) -> None:
        self.server.conversations += 1
        began = time.monotonic()
        while time.monotonic() < began + self.server.delay:  # or until nobody wants it to be slow any more
            time.sleep(0.02)
        self._say("220 postbox ready")
        while line := self.rfile.readline():
            word = line.split(maxsplit=1)[0].upper().decode() if line.strip() else ""
            if word == "MAIL" and self.server.is_dead:
                return  # the line is cut, as by a crash
            if word == "RCPT" and any(each in line.decode() for each in self.server.refuses):
                self._say("550 nobody here by that name")
                continue
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
    """Use as a context; `mails` holds what was accepted.

    `port`: to come back where another one was. `most`: it dies after so many mails. `refuses`: addresses that nobody has here.
    `delay`: seconds before it says anything.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(
        self, port: int = 0, *, most: int | None = None, refuses: Collection[str] = (), delay: float = 0
    ) -> None:
        super().__init__(("127.0.0.1", port), _Conversation)
        self.mails: list[EmailMessage] = []
        self.most, self.refuses, self.delay, self.conversations = most, refuses, delay, 0
        self._lock = threading.Lock()

    @property
    def is_dead(self) -> bool:
        return self.most is not None and len(self.mails) >= self.most

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
