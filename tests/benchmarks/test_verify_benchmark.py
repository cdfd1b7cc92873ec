"""The benchmark of verification runs, small and untimed: every measure gives lines of the shape that its readers expect."""

import pytest

from tests.benchmarks.running import run_quickly

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
    lines, _ = run_quickly("verify", tmp_path)
    for line in lines:
        assert line.keys() == {"metric", "value", "unit", "goal", "holds", "part", "when"}
        assert (line["holds"] is None) == (line["goal"] == ""), line
        assert line["value"] is not None or "not installed" in line["metric"], line
    assert len({line["metric"] for line in lines}) == len(lines)
    promised = [line["metric"] for line in lines if line["goal"]]
    for words in PROMISED:
        assert any(metric.startswith(words) for metric in promised), words
