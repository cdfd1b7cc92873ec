"""Know whether the client for TypeScript can be built here."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from functools import cache

import pytest

from tests.servers import ROOT

CLIENT = ROOT / "sdk" / "typescript"
_OLDEST = (20, 15)


def need_node() -> None:
    """Build the client once, or skip with the reason; where CI=true nothing is skipped."""
    missing = _missing()
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"CI tests the client for TypeScript, but {missing}")
    if missing:
        pytest.skip(missing)
    _build()


@cache
def _build() -> None:
    with (CLIENT / "node_modules" / ".building").open("w") as lock:  # the workers of a run share the folder
        fcntl.flock(lock, fcntl.LOCK_EX)
        built = CLIENT / "dist" / "src" / "index.js"
        sources = [*CLIENT.glob("src/*.ts"), *CLIENT.glob("test/*.ts"), CLIENT / "tsconfig.json"]
        if not built.exists() or built.stat().st_mtime < max(each.stat().st_mtime for each in sources):
            compiler = CLIENT / "node_modules" / ".bin" / "tsc"
            done = subprocess.run([compiler], cwd=CLIENT, capture_output=True, text=True, timeout=200, check=False)
            assert done.returncode == 0, done.stdout


def _missing() -> str:
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "Node.js is not installed"
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    if tuple(map(int, said.strip().lstrip("v").split(".")[:2])) < _OLDEST:
        return f"Node.js {said.strip()} is older than 20.15"
    if not (CLIENT / "node_modules" / "typescript").exists():
        return "its packages are not installed: `make node`"
    return ""
