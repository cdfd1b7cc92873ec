"""Sealers and writers as processes of their own, to be killed."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def start_sealer(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    environment = os.environ | {"KEYSTEAD_SEALER_FOLDER": str(folder), "DJANGO_SETTINGS_MODULE": "portal.settings"}
    return subprocess.Popen(
        [sys.executable, "manage.py", "audit_sealer", *arguments],
        cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def start_writer(acknowledged: Path) -> "subprocess.Popen[str]":
    """Start a process that writes events until it is killed, and notes each that it knows to be committed."""
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "portal.settings"}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.audit.writing", str(acknowledged)], cwd=ROOT, env=environment, text=True
    )


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)
