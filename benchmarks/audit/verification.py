"""Compare verifying a whole log with hashing its bytes, by an auditor's interpreter without any package and by the portal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.db import transaction

from audit import clock, inspection, log, verify
from audit.exporters.bundle import LeafRange, finish_bundle, write_bundle
from audit.pins import read_pins
from benchmarks.audit import raw_hash
from benchmarks.audit.changes import ACTOR
from benchmarks.audit.sealed_log import SealedLog, sealed_log
from benchmarks.audit.sealing_beside import seal_all
from benchmarks.audit.sizes import Sizes
from benchmarks.cluster import Cluster
from benchmarks.measuring import by_turns, forget_peak, held_bytes, in_child, peak_bytes, ratio, run_script, seconds
from benchmarks.results import Result, at_most, told

MIB = 1024 * 1024
VERIFIER, RAW = Path(verify.__file__), Path(raw_hash.__file__)
TILES, DEEP, BUNDLE, DATABASE = (
    "verify.py tiles",
    "verify.py tiles --deep",
    "verify.py bundle",
    "the log in the database",
)
HASHED = "raw SHA-256"


@dataclass
class _Peaks:
    """The most memory each way ever held."""

    bytes: dict[str, int]

    def note(self, name: str, peak: int) -> None:
        self.bytes[name] = max(peak, self.bytes.get(name, 0))


def measure(cluster: Cluster, sizes: Sizes) -> list[Result]:
    """Verify the sealer's copy, a bundle and the database, and hash the same bytes, by turns."""
    made = sealed_log(cluster, sizes)
    key, bundle, peaks = str(made.key), _bundle(made, cluster.layout.data / "bundle.zip"), _Peaks({})

    def script(name: str, path: Path, *words: str) -> float:
        passed, peak, _ = run_script(path, words, bare=True)
        peaks.note(name, peak)
        return passed

    ways: dict[str, Callable[[], float]] = {
        HASHED: lambda: script(HASHED, RAW, str(made.tiles)),
        TILES: lambda: script(TILES, VERIFIER, "tiles", str(made.tiles), "--key", key),
        DEEP: lambda: script(DEEP, VERIFIER, "tiles", str(made.tiles), "--key", key, "--deep"),
        BUNDLE: lambda: script(BUNDLE, VERIFIER, "bundle", str(bundle), "--key", key),
        DATABASE: lambda: _inspect(made, peaks),
    }
    times = by_turns(ways, rounds=min(3, sizes.rounds))
    bundle.unlink()
    results = []
    for name in (TILES, DEEP, BUNDLE, DATABASE):
        of = f"{name}, {made.rows:,} events"
        results.append(at_most(f"{of} / {HASHED} of the same bytes", ratio(times[name], times[HASHED]), 4, "x"))
        above = " above the portal's own" if name == DATABASE else ""
        results.append(at_most(f"{of}, peak memory{above}", peaks.bytes[name] / MIB, 32, "MiB"))
    results += [told(f"{name}, {made.rows:,} events", min(times[name]), "s") for name in ways]
    return results


def _inspect(made: SealedLog, peaks: _Peaks) -> float:
    """Inspect the database in a fork; its peak counts from what the portal holds before."""
    pins = read_pins(keys=[str(made.key)], tiles=str(made.tiles))

    def look() -> tuple[float, ...]:
        forget_peak()
        before = held_bytes()
        found: list[inspection.Inspection] = []
        passed = seconds(lambda: found.append(inspection.inspect_log(pins)))
        if found[0].findings:
            raise RuntimeError(f"the made-up log does not hold: {found[0].findings[0]}")
        return passed, peak_bytes() - before

    passed, peak = in_child(look)
    peaks.note(DATABASE, int(peak))
    return passed


def _bundle(made: SealedLog, path: Path) -> Path:
    """Export the whole log as an evidence bundle, signed by the log."""
    with path.open("w+b") as into:
        with transaction.atomic():
            scope = LeafRange(from_leaf=0, upto_leaf=made.rows)
            manifest = write_bundle(scope, into=into, actor=ACTOR, at=clock.now())
            uid = log.record(manifest.event(), actor=ACTOR, at=clock.now())
        seal_all(made.sealer)
        finish_bundle(manifest, uid, into=into)
    return path
