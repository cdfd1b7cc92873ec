"""The benchmark of the audit log runs, small and untimed: every measure gives lines of the shape that its readers expect."""

import subprocess
import sys

import pytest

from tests.architecture.source import ROOT
from tests.benchmarks.running import run_quickly

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]  # a PostgreSQL and two sealers start in it
KEYS = {"metric", "value", "unit", "goal", "holds", "part", "when"}
MEASURES = ("writes", "cpu", "lag", "drain", "proofs", "export", "verification", "search")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    lines, said = run_quickly("audit", folder)
    for measure in MEASURES:
        assert f"measuring: {measure}\n" in said
    return lines, (folder / "audit.md").read_text()


def test_every_line_says_what_was_measured_and_whether_it_holds(results):
    lines, table = results
    for line in lines:
        assert line.keys() == KEYS
        assert line["metric"]
        assert line["unit"]
        assert (line["holds"] is None) == (line["goal"] == ""), line
        assert line["metric"] in table
        if line["value"] is None:
            assert "not installed" in line["metric"], line
            assert line["holds"] is False
        else:
            assert isinstance(line["value"], int | float)
    assert len({line["metric"] for line in lines}) == len(lines)


def test_everything_that_is_promised_of_the_log_is_measured(results):
    lines, _ = results
    promised = [line["metric"] for line in lines if line["goal"]]
    for words in (
        "write and plain insert",
        "locked hash chain",
        "CPU of an audited change",
        "django-auditlog",
        "sealing lag p99",
        "sealer, emptying a queue",
        "verify.py tiles, ",
        "verify.py tiles --deep",
        "verify.py bundle",
        "the log in the database",
        "peak memory",
        "JSON Lines / COPY",
        "memory above the baseline",
        "inclusion proof",
        "search by time",
        "search by actor",
        "search by target",
        "search by action",
    ):
        assert any(words in metric for metric in promised), words


def test_an_unknown_measure_is_named():
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.audit", "--only", "speed"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    for measure in MEASURES:
        assert measure in ran.stderr
