"""Run commands and start servers under one environment after another, each in a fork of a process that has imported everything.

A process of its own for each would import the same thousand modules every time. Run as `python -m tests.portal.checker`: a line of
JSON with an environment and words comes in, a line with the exit status and what was said goes out.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parents[2]


class Checker:
    """The other end: give it an environment, be told what the check says."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.portal.checker"],
            cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *told: object) -> None:
        self._process.communicate()

    def check(self, environment: Mapping[str, str]) -> tuple[int, str]:
        """Return the exit status of the check and what it said."""
        return self.run(environment, "check", "--deploy", "--fail-level", "WARNING")

    def run(self, environment: Mapping[str, str], *words: str) -> tuple[int, str]:
        """Return the exit status of a command of manage.py, or of `import` and what a server imports, and what it said."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([dict(environment), words]) + "\n")
        self._process.stdin.flush()
        code, said = json.loads(self._process.stdout.readline())
        return int(code), str(said)


def _serve() -> None:
    import django

    django.setup()
    importlib.import_module("portal.urls")
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            print(json.dumps(_ran(*json.loads(line))), flush=True)
            os._exit(0)
        os.waitpid(child, 0)


def _ran(environment: Mapping[str, str], words: list[str]) -> tuple[int, str]:
    from django.conf import Settings, settings
    from django.core.management import call_command
    from django.db import connections

    os.environ.clear()
    os.environ.update(environment)
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        try:
            importlib.reload(sys.modules["portal.settings"])
            settings._wrapped = Settings("portal.settings")
            connections.__dict__.clear()
            connections.__init__()  # type: ignore[misc]
            if words[0] == "import":
                importlib.import_module(words[1])
            else:
                call_command(*words)
        except (Exception, SystemExit) as refused:
            return 1, f"{said.getvalue()}{refused}"
    return 0, said.getvalue()


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    _serve()
