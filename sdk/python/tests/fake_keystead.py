"""An HTTP server that answers as it is told, and remembers what it was asked."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

# One place for both: the portal's own tests read the same files.
VECTORS = Path(__file__).resolve().parents[3] / "tests" / "vectors"


def vectors(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def bearer(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")


Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]]


class FakeKeystead:
    def __init__(self) -> None:
        self.doors: dict[str, Callable[[Asked], Answer]] = {}
        self.asked: list[Asked] = []
        self.connections = 0
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # or each answer on a kept connection would wait for 40 ms

            def setup(self) -> None:
                super().setup()
                fake.connections += 1

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.command, self.path, headers, body)
                fake.asked.append(asked)
                door = fake.doors.get(f"{self.command} {self.path}")
                status, said, *more = door(asked) if door else (404, problem("not_found", 404)[1])
                if callable(said):  # an answer that goes on, until the connection ends
                    self.send_response(status)
                    self.end_headers()
                    said(self.wfile, self.rfile)
                    self.close_connection = True
                    return
                content = said if isinstance(said, bytes) else json.dumps(said).encode()
                self.send_response(status)
                for name, value in (more[0] if more else {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_DELETE = _answer

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def on(self, route: str, door: Callable[[Asked], Answer] | Answer) -> None:
        """Answer `POST /v1/verify` and the like."""
        self.doors[route] = door if callable(door) else lambda _: door

    def __enter__(self) -> Self:
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def times_meanwhile(keystead: FakeKeystead, path: str) -> int:
    """How often it is asked for in the time of 400 questions of ours: a thread that asks without a pause asks as often."""
    begun = len(keystead.asked)
    connection = http.client.HTTPConnection("127.0.0.1", keystead.server.server_port)
    for _ in range(400):
        connection.request("GET", "/nothing")
        connection.getresponse().read()
    connection.close()
    return sum(asked.path == path for asked in keystead.asked[begun:])


def problem(code: str, status: int, **members: Any) -> Answer:
    return status, {"type": f"urn:keystead:problem:{code}", "title": "No", "status": status, "code": code, **members}
