"""What was measured is written part by part: a part that is measured again takes the place of its own lines only."""

import json
from pathlib import Path

from benchmarks.results import Report, at_least, at_most, told

ORDER = ("first", "second")


def report(folder: Path) -> Report:
    return Report.begun("speed", {"PostgreSQL": "18"}, ORDER, folder)


def written(folder: Path) -> list[tuple[str, str, float | None, bool | None]]:
    rows = json.loads((folder / "speed.json").read_text())
    return [(row["part"], row["metric"], row["value"], row["holds"]) for row in rows]


def test_a_part_measured_again_replaces_itself_and_leaves_the_others_their_date(tmp_path: Path) -> None:
    whole = report(tmp_path)
    whole.measure("first", lambda: [at_least("a", 1, 2, "x"), told("b", 3, "s")])
    whole.measure("second", lambda: [at_most("c", 1, 2, "x")])
    assert not whole.write(), "a falls short"
    before = json.loads((tmp_path / "speed.json").read_text())
    again = report(tmp_path)
    again.measure("first", lambda: [at_least("a", 2, 2, "x")])
    assert again.write()
    assert written(tmp_path) == [("first", "a", 2, True), ("second", "c", 1, True)]
    assert json.loads((tmp_path / "speed.json").read_text())[1] == before[2]
    table = (tmp_path / "speed.md").read_text()
    assert table.index("## first") < table.index("## second")
    assert "FALLS SHORT" not in table


def test_small_sizes_leave_what_was_measured_alone(tmp_path: Path) -> None:
    small = report(tmp_path)
    small.measure("second", lambda: [told("c", None, "x")])
    assert small.write(keep=False)
    assert list(tmp_path.iterdir()) == []
