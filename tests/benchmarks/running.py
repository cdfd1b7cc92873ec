"""Run a benchmark as `make bench` does, small: in a process and with engines of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.architecture.source import ROOT


def run_quickly(name: str, into: Path) -> tuple[list[dict[str, Any]], str]:
    """Return the lines it wrote, and what it said meanwhile."""
    own = {
        each: value for each, value in os.environ.items() if not each.startswith(("KEYSTEAD_", "DATABASE_", "DJANGO_"))
    }
    ran = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--into", str(into)],
        cwd=ROOT,
        env=own,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-4000:]
    return json.loads((into / f"{name}.json").read_text()), ran.stdout
