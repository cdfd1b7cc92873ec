"""Time nginx asking by auth_request, beside nginx asking a constant answer: what a gateway can reach at most."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.cluster import Cluster
from benchmarks.measuring import by_turns, ratio
from benchmarks.results import Result, told
from benchmarks.verify.door import CONSTANT
from benchmarks.verify.load import _Line, drive, must_refuse, question
from benchmarks.verify.population import populate
from benchmarks.verify.programs import program_of
from benchmarks.verify.serving import Server, free_port, serving
from benchmarks.verify.sizes import Sizes
from keys.crypto.key_text import mint

CONFIGURATION = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/errors; events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; keepalive_requests 1000000000;
  fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  upstream door {{ server 127.0.0.1:{door}; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port};
    location /open {{ auth_request /ask; try_files /none @said; }}
    location @said {{ return 200 '{{"valid":true}}'; }}
    location = /ask {{
      internal; proxy_pass http://door/v1/forward-auth; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_pass_request_body off; proxy_set_header Content-Length "";
      proxy_set_header Keystead-Credential "{credential}"; proxy_set_header Keystead-Scopes "orders:read";
    }}
  }}
}}
"""


def measure(cluster: Cluster, sizes: Sizes) -> list[Result]:
    """Nginx of the machine or out of its wheel: without one nothing is measured."""
    program = program_of("nginx")
    if program is None:
        return [told("nginx auth_request (nginx is not installed)", None, "req/s")]
    found = populate(cluster, "gateway", count=min(sizes.keys, 1_000))
    questions = [question("/open", b"", Authorization=f"Bearer {text}") for _, text in found.keys]
    environment = cluster.environment("gateway")
    with serving("portal.verify", environment) as door, serving(CONSTANT, environment) as constant:
        folder = cluster.layout.data
        with (
            _nginx(program, folder / "one", door.port, found.credential) as asking,
            _nginx(program, folder / "two", constant.port, found.credential) as ceiling,
        ):
            must_refuse(asking, question("/open", b"", Authorization=f"Bearer {mint('prod').secret.reveal()}"))
            shape = {"connections": 64, "depth": 1}
            rates = by_turns(
                {
                    "asking": lambda: drive(asking, questions, seconds=sizes.seconds, **shape).rate,
                    "ceiling": lambda: drive(ceiling, questions, seconds=sizes.seconds, **shape).rate,
                },
                rounds=sizes.rounds,
            )
    return [
        told("nginx auth_request over its own ceiling", ratio(rates["asking"], rates["ceiling"]), "x"),
        told("nginx auth_request, allowed requests", statistics.median(rates["asking"]), "req/s"),
        told("nginx auth_request to a constant answer", statistics.median(rates["ceiling"]), "req/s"),
    ]


@contextmanager
def _nginx(program: Path, folder: Path, door: int, credential: str) -> Iterator[Server]:
    folder.mkdir()
    port = free_port()
    file = folder / "nginx.conf"
    file.write_text(CONFIGURATION.format(folder=folder, door=door, port=port, credential=credential))
    process = subprocess.Popen([program, "-c", str(file), "-p", str(folder)], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                _Line(port, [b""], 0, 0).socket.close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield Server(port, process)
    finally:
        process.terminate()
        process.wait(10)
