"""Receivers of webhooks on loopback, which answer as they are told and remember what came."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Came:
    """One request as it arrived."""

    headers: dict[str, str]
    body: str
    at: float

    @property
    def message_id(self) -> str:
        return self.headers.get("webhook-id", "")  # a chat is sent none

    @property
    def facts(self) -> dict[str, Any]:
        return json.loads(self.body)


@dataclass
class Receiver:
    """Set `status`, `delay`, `headers` and `says` for what it answers from now on."""

    port: int = 0
    status: int = 204
    delay: float = 0
    headers: dict[str, str] = field(default_factory=dict)
    says: bytes = b""
    trickles: bool = False
    came: list[Came] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/a-path-token"


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """Run one until the end of the block."""
    receiver = Receiver()

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            came = Came({name.lower(): value for name, value in self.headers.items()}, body, time.monotonic())
            receiver.came.append(came)
            while (
                time.monotonic() < came.at + receiver.delay
            ):  # until then, or until nobody wants it to be slow any more
                time.sleep(0.02)
            if receiver.trickles:
                try:
                    for _ in range(200):
                        self.wfile.write(b"H")
                        self.wfile.flush()
                        time.sleep(0.1)
                except OSError:
                    return
            status = receiver.status
            try:
                self.send_response(status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(receiver.says)
            except OSError:
                return
            if 200 <= status < 300:
                receiver.accepted.append(came.message_id)

        def log_message(self, *arguments: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    server = Server(("127.0.0.1", port), Answering)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
