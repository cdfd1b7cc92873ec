"""The benchmark of the jobs runs, small and untimed: what is promised is measured, and each row has its one event."""

import json
import os
import subprocess
import sys

import pytest

from tests.architecture.source import ROOT

pytestmark = pytest.mark.timeout(600)  # a PostgreSQL starts in it


def test_the_sweep_is_measured_beside_its_neighbours_and_leaves_nothing(tmp_path):
    own = {
        name: value for name, value in os.environ.items() if not name.startswith(("KEYSTEAD_", "DATABASE_", "DJANGO_"))
    }
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.jobs", "--quick", "--into", str(tmp_path)],
        cwd=ROOT,
        env=own,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-4000:]
    lines = json.loads((tmp_path / "jobs.json").read_text())
    promised = {line["metric"]: line for line in lines if line["goal"]}
    for words in ("the sweep / one by one", "memory above the baseline", "a look when nothing is due"):
        assert any(words in metric for metric in promised), words
    # What is counted holds in any size; what is timed is not looked at.
    assert promised["rows left over after the sweep"]["value"] == 0
    assert promised["rows without exactly one event"]["value"] == 0
