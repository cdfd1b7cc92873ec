"""Hold what was measured against what is promised, print it as a table, and keep it as a file."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True, kw_only=True)
class Result:
    """One line of the table; without a goal it only explains its neighbours, without a value it could not be measured."""

    metric: str
    value: float | None
    unit: str
    goal: str = ""
    holds: bool | None = None


def at_least(metric: str, value: float | None, goal: float, unit: str) -> Result:
    """Judge a value that should be high."""
    return Result(
        metric=metric, value=_rounded(value), unit=unit, goal=f"≥ {goal:g}", holds=value is not None and value >= goal
    )


def at_most(metric: str, value: float | None, goal: float, unit: str) -> Result:
    """Judge a value that should be low."""
    return Result(
        metric=metric, value=_rounded(value), unit=unit, goal=f"≤ {goal:g}", holds=value is not None and value <= goal
    )


def told(metric: str, value: float | None, unit: str) -> Result:
    """State a value of which nothing is promised."""
    return Result(metric=metric, value=_rounded(value), unit=unit)


def _rounded(value: float | None) -> float | None:
    """Four digits that mean something."""
    return None if value is None else float(f"{value:.4g}")


def table(results: Sequence[Result]) -> str:
    """Write the results as a table in Markdown, what falls short marked."""
    rows = [
        (
            each.metric,
            "not measured" if each.value is None else f"{each.value:,.10g}",
            each.unit,
            each.goal,
            {True: "holds", False: "FALLS SHORT", None: ""}[each.holds],
        )
        for each in results
    ]
    head = ("what", "measured", "unit", "goal", "")
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in (head, *rows)
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def machine() -> dict[str, str]:
    """Say where and when this was measured: absolute figures mean nothing without it."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown"
    )
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return {
        "measured": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{os.cpu_count()} cores, {cpu}, {platform.system()} {platform.release()}",
        "load before (1, 5, 15 minutes)": load,
        "Python": platform.python_version(),
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


@dataclass
class Report:
    """The results of one benchmark, printed as they come and written at the end."""

    name: str
    conditions: dict[str, str]
    results: list[Result]
    folder: Path = RESULTS

    @classmethod
    def begun(cls, name: str, conditions: Mapping[str, str], folder: Path = RESULTS) -> Report:
        """Start a report on this machine, now."""
        return cls(name=name, conditions={**machine(), **conditions}, results=[], folder=folder)

    def add(self, results: Sequence[Result]) -> None:
        """Take the results of one measure and show them at once."""
        self.results += results
        print(f"\n{table(results)}\n", flush=True)

    def write(self, *, partial: bool = False) -> bool:
        """Print the whole table, write both files unless only a part was measured, and tell whether every promise holds."""
        text = "\n".join(f"- {name}: {words}" for name, words in self.conditions.items())
        print(f"\n{text}\n\n{table(self.results)}")
        if partial:
            print("\nOnly a part was measured: nothing was written.")
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            whole = json.dumps([asdict(each) for each in self.results], indent=1, ensure_ascii=False)
            (self.folder / f"{self.name}.json").write_text(f"{whole}\n")
            (self.folder / f"{self.name}.md").write_text(f"# {self.name}\n\n{text}\n\n{table(self.results)}\n")
            print(f"\nWritten: {self.folder / self.name}.json and .md")
        return not any(each.holds is False for each in self.results)


class Watch:
    """Tell on the way what is being measured and how long it took."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def says(self, words: str) -> None:
        """Print one line with the minutes since the start."""
        passed = time.monotonic() - self._since
        print(f"[{int(passed // 60):3d}:{int(passed % 60):02d}] {words}", flush=True)
