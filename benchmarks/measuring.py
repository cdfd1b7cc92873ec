"""Take time, processor time and memory, and compare things by turns: what disturbs one round disturbs all of it."""

from __future__ import annotations

import math
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

# A process that tells its own peak at its end: the kernel's count for children includes what forked them.
_TOLD = (
    "import sys, runpy\n"
    "sys.argv = sys.argv[1:]\n"
    "code = 0\n"
    "try:\n"
    "    runpy.run_path(sys.argv[0], run_name='__main__')\n"
    "except SystemExit as end:\n"
    "    code = end.code\n"
    "peak = [line for line in open('/proc/self/status') if line.startswith('VmHWM')][0].split()[1]\n"
    "sys.stderr.write('\\npeak ' + peak)\n"
    "sys.exit(code)\n"
)


def by_turns(
    variants: Mapping[str, Callable[[], float]], *, rounds: int, before: Callable[[str], None] | None = None
) -> dict[str, list[float]]:
    """Run every variant once a round, in another order each round, and return what they measured."""
    found: dict[str, list[float]] = {name: [] for name in variants}
    order = random.Random(1)
    for _ in range(rounds):
        names = list(variants)
        order.shuffle(names)
        for name in names:
            if before is not None:
                before(name)
            found[name].append(variants[name]())
    return found


def ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """Return the median of the ratios, each of two neighbours in one round."""
    return statistics.median(one / other for one, other in zip(above, below, strict=True))


def percentile(values: Iterable[float], share: float) -> float:
    """Return the value that `share` of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def seconds(action: Callable[[], object]) -> float:
    """Return how long `action` takes by the clock on the wall."""
    since = time.perf_counter()
    action()
    return time.perf_counter() - since


def processor_seconds(pid: int) -> float:
    """Return the processor time of any process of this machine so far, to the nanosecond (clock_getcpuclockid(3))."""
    return time.clock_gettime((~pid << 3) | 2)


def peak_bytes(pid: int | str = "self") -> int:
    """Return the most memory a process ever held at once (VmHWM)."""
    return _status(pid, "VmHWM")


def held_bytes(pid: int | str = "self") -> int:
    """Return the memory a process holds now (VmRSS)."""
    return _status(pid, "VmRSS")


def disk_bytes(pid: int) -> int:
    """Return how much a process has had the disk read so far (proc_pid_io(5)): what memory held is not in it."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("read_bytes:")).split()[1])


def forget_peak() -> None:
    """Let our peak begin again at what is held now (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def _status(pid: int | str, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1]) * 1024


def run_script(script: Path, words: Sequence[str], *, bare: bool = False) -> tuple[float, int, str]:
    """Run a script in a Python of its own; return its seconds, its peak bytes and what it printed.

    `bare`: isolated and without any installed package, as on an auditor's machine.
    """
    command = [sys.executable, *(["-I", "-S"] if bare else []), "-c", _TOLD, str(script), *words]
    since = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    passed = time.perf_counter() - since
    said, _, peak = done.stderr.rpartition("\npeak ")
    if done.returncode != 0:
        raise RuntimeError(f"{script.name} {' '.join(words)} ended with {done.returncode}:\n{done.stdout}{said}")
    return passed, int(peak) * 1024, done.stdout


def in_child(action: Callable[[], tuple[float, ...]]) -> tuple[float, ...]:
    """Run `action` in a fork, so that its memory starts from a known state; return the numbers it returns."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.write(writing, " ".join(repr(float(each)) for each in action()).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    if status:
        raise RuntimeError("the measured process failed; its words are above")
    return tuple(float(each) for each in answer.split())
