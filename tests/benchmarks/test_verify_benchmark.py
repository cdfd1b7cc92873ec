"""The benchmark of verification runs, small and untimed: every measure gives lines of the shape that its readers expect."""

import json
import os
import subprocess
import sys

import pytest

from tests.architecture.source import ROOT

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
PROMISED = (
    "/v1/verify over a constant answer",
    "p99 over the constant answer's",
    "requests over djangorestframework-api-key",
    "requests over django-rest-knox",
    "requests over django-oauth-toolkit",
    "a question with the most keys",
    "receipt, ",
    "a use counted",
)


def test_every_line_says_what_was_measured_and_whether_it_holds(tmp_path):
    """Run it as `make bench` does, in a process and with engines of its own."""
    own = {
        name: value for name, value in os.environ.items() if not name.startswith(("KEYSTEAD_", "DATABASE_", "DJANGO_"))
    }
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.verify", "--quick", "--into", str(tmp_path)],
        cwd=ROOT,
        env=own,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-4000:]
    lines = json.loads((tmp_path / "verify.json").read_text())
    for line in lines:
        assert line.keys() == {"metric", "value", "unit", "goal", "holds"}
        assert (line["holds"] is None) == (line["goal"] == ""), line
        assert line["value"] is not None or "not installed" in line["metric"], line
    assert len({line["metric"] for line in lines}) == len(lines)
    promised = [line["metric"] for line in lines if line["goal"]]
    for words in PROMISED:
        assert any(metric.startswith(words) for metric in promised), words
