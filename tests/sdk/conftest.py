"""Give the clients a real portal, and a door of the data plane beside it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from portal.engines import die_with_parent
from tests.servers import ROOT, free_port


@pytest.fixture
def verify_door(portal_server, tmp_path) -> Iterator[str]:
    """Start the process that services ask, over the committed database; its address."""
    port = free_port()
    with _serving("portal.verify", "KEYSTEAD_VERIFY_BIND", port, tmp_path) as url:
        yield url


@pytest.fixture
def feed(portal_server, tmp_path) -> Iterator[str]:
    """Start the process of the doorbell, where the site says that it is; its address."""
    with _serving("portal.verify.feed", "KEYSTEAD_FEED_BIND", portal_server.feed_port, tmp_path) as url:
        yield url


@pytest.fixture
def hidden_feed(portal_server, tmp_path) -> Iterator[str]:
    """Start it elsewhere, for a gateway that listens where the site says that it is; its address."""
    with _serving("portal.verify.feed", "KEYSTEAD_FEED_BIND", free_port(), tmp_path) as url:
        yield url


@contextmanager
def _serving(module: str, binding: str, port: int, folder: Path) -> Iterator[str]:
    log_file = folder / f"{module}.log"
    log = log_file.open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        cwd=ROOT,
        env=os.environ | {binding: f"127.0.0.1:{port}", "DJANGO_SETTINGS_MODULE": "portal.settings"},
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=die_with_parent(signal.SIGTERM),
    )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while not _answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(log_file.read_text(errors="replace")[-4000:])
            time.sleep(0.05)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.close()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
