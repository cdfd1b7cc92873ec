"""Hold what was measured against what is promised, print it as a table, and keep it as a file."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
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
    """Say where this was measured: absolute figures mean nothing without it."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown"
    )
    return {
        "machine": f"{os.cpu_count()} cores, {cpu}, {platform.system()} {platform.release()}",
        "Python": platform.python_version(),
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def _now() -> str:
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, load before {load}"


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one measure gave, all of it in one run; `when` is its start, with the load (1, 5, 15 minutes) of the machine."""

    name: str
    when: str
    results: Sequence[Result]


@dataclass
class Report:
    """The results of one benchmark, printed as they come and written at the end."""

    name: str
    conditions: dict[str, str]
    order: Sequence[str]
    parts: dict[str, Part]
    folder: Path = RESULTS

    @classmethod
    def begun(cls, name: str, conditions: Mapping[str, str], order: Sequence[str], folder: Path = RESULTS) -> Report:
        """Start a report on this machine, now; `order`: the names of all its parts."""
        return cls(name=name, conditions={**machine(), **conditions}, order=order, parts={}, folder=folder)

    def measure(self, part: str, measured: Callable[[], Sequence[Result]]) -> None:
        """Take one measure and show its results at once."""
        when = _now()
        self.parts[part] = Part(name=part, when=when, results=measured())
        print(f"\n{table(self.parts[part].results)}\n", flush=True)

    def write(self, *, keep: bool = True) -> bool:
        """Print what was measured, write it over what those parts gave before, and tell whether every promise holds."""
        held = not any(each.holds is False for part in self.parts.values() for each in part.results)
        words = "\n".join(f"- {name}: {words}" for name, words in self.conditions.items())
        print("\n".join([words, *map(_section, self.parts.values())]))
        if not keep:
            print("\nNothing was written.")
            return held
        known = self._earlier() | self.parts
        parts = [known[name] for name in self.order if name in known]
        rows = [asdict(each) | {"part": part.name, "when": part.when} for part in parts for each in part.results]
        self.folder.mkdir(parents=True, exist_ok=True)
        whole = json.dumps(rows, indent=1, ensure_ascii=False)
        (self.folder / f"{self.name}.json").write_text(f"{whole}\n")
        sections = "\n".join(map(_section, parts))
        (self.folder / f"{self.name}.md").write_text(f"# {self.name}\n\n{words}\n{sections}")
        print(f"\nWritten: {self.folder / self.name}.json and .md")
        return held

    def _earlier(self) -> dict[str, Part]:
        """The parts that were written before: a part that is not measured again keeps its own date."""
        file = self.folder / f"{self.name}.json"
        found: dict[str, Part] = {}
        for row in json.loads(file.read_text()) if file.exists() else []:
            name, when = row.pop("part"), row.pop("when")
            results = found[name].results if name in found else ()
            found[name] = Part(name=name, when=when, results=(*results, Result(**row)))
        return found


def _section(part: Part) -> str:
    return f"\n## {part.name}\n\nMeasured {part.when}.\n\n{table(part.results)}\n"


class Watch:
    """Tell on the way what is being measured and how long it took."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def says(self, words: str) -> None:
        """Print one line with the minutes since the start."""
        passed = time.monotonic() - self._since
        print(f"[{int(passed // 60):3d}:{int(passed % 60):02d}] {words}", flush=True)
