"""Serve a witness over HTTP: `add-checkpoint` for logs, the newest checkpoints for anybody. Standard library only."""

from __future__ import annotations

import logging
import re
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from audit.witness.cosigner import LONGEST_REQUEST, Answer, Cosigner, MemoryTorn

MOST_AT_ONCE = 64
PATIENCE_SECONDS = 10.0

_lines = logging.getLogger("keystead.witness")
_CHECKPOINT = re.compile(r"/([0-9a-f]{64})/checkpoint")
_LENGTH = re.compile(r"[0-9]{1,6}")


class Door(BaseHTTPRequestHandler):
    """Answer one connection; anybody may knock, and only what a log signed changes anything."""

    server: WitnessServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "keystead-witness", ""
    timeout = PATIENCE_SECONDS

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not _LENGTH.fullmatch(length) or int(length) > LONGEST_REQUEST:
            self.close_connection = True
            self._answer(Answer(status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE, body="too long, or of unknown length\n"))
            return
        raw = self.rfile.read(int(length))
        if self.path != "/add-checkpoint":
            self._answer(Answer(status=HTTPStatus.NOT_FOUND, body="nothing is here\n"))
            return
        try:
            answer = self.server.cosigner.add_checkpoint(raw)
        except (MemoryTorn, OSError):
            _lines.exception("the witness cannot remember, so it signs nothing")
            answer = Answer(status=HTTPStatus.INTERNAL_SERVER_ERROR, body="this witness cannot remember\n")
        if answer.status not in (HTTPStatus.OK, HTTPStatus.CONFLICT):
            _lines.warning("a checkpoint was refused", extra={"status": answer.status})
        self._answer(answer)

    def do_GET(self) -> None:
        found = _CHECKPOINT.fullmatch(self.path)
        text = self.server.cosigner.newest(found[1]) if found else None
        if self.path == "/healthz":
            text = "alive\n"
        if text is None:
            self._answer(Answer(status=HTTPStatus.NOT_FOUND, body="nothing is here\n"))
        else:
            self._answer(Answer(status=HTTPStatus.OK, body=text))

    def _answer(self, answer: Answer) -> None:
        body = answer.body.encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: Any) -> None:
        """Write no line for each request: what strangers send belongs in no log (Any: the library's signature)."""


class WitnessServer(ThreadingHTTPServer):
    """A thread for each connection, and no more than a few of them."""

    daemon_threads = True
    request_queue_size = 32

    def __init__(self, address: tuple[str, int], cosigner: Cosigner) -> None:
        self.cosigner = cosigner
        self._free = threading.BoundedSemaphore(MOST_AT_ONCE)
        super().__init__(address, Door)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Turn away who comes when all threads are taken (Any: the library's signature)."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection in its thread (Any: the library's signature)."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any) -> None:
        """Keep quiet about clients that went away, and tell of everything else (Any: the library's signature)."""
        _lines.debug("a connection broke", exc_info=True)
