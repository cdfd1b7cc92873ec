"""The benchmark of the jobs runs, small and untimed: what is promised is measured, and each row has its one event."""

import pytest

from tests.benchmarks.running import run_quickly

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]  # a PostgreSQL starts in it


def test_the_sweep_is_measured_beside_its_neighbours_and_leaves_nothing(tmp_path):
    lines, _ = run_quickly("jobs", tmp_path)
    promised = {line["metric"]: line for line in lines if line["goal"]}
    for words in ("the sweep / one by one", "memory above the baseline", "a look when nothing is due"):
        assert any(words in metric for metric in promised), words
    # What is counted holds in any size; what is timed is not looked at.
    assert promised["rows left over after the sweep"]["value"] == 0
    assert promised["rows without exactly one event"]["value"] == 0
