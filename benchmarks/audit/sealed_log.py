"""Keep one large sealed log for the measures that read it; it is made once a run, and how fast it was sealed is a measure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from audit.sealer import Round, Sealer
from benchmarks.audit.generated import fill
from benchmarks.audit.sealing_beside import new_sealer
from benchmarks.audit.sizes import Sizes
from benchmarks.cluster import Cluster
from benchmarks.measuring import seconds

DATABASE = "sealed_log"
PARTS = 5


@dataclass(frozen=True, kw_only=True)
class SealedLog:
    """A log of `rows` events with `payload_bytes`, in a database and in the sealer's folder; `rates` in events a second."""

    database: str
    sealer: Sealer
    rows: int
    payload_bytes: int
    rates: list[float]

    @property
    def tiles(self) -> Path:
        return self.sealer.folder.path / "tiles"

    @property
    def key(self) -> Path:
        return self.sealer.folder.verifier_file


_made: dict[Path, SealedLog] = {}


def sealed_log(cluster: Cluster, sizes: Sizes) -> SealedLog:
    """Return the log of this run with Django pointed at its database; fill and seal it the first time."""
    place = cluster.layout.data
    if place not in _made:
        database = cluster.create(DATABASE)
        payload_bytes = fill(cluster, database, sizes.log, queued=True)
        cluster.use(database)
        sealer = new_sealer(cluster, "log")
        rates, sealed, done = [], 0, Round()
        while not rates or done.is_full:
            part = 0

            def drain() -> None:
                nonlocal part, done
                done = sealer.seal()
                part += done.sealed
                while done.is_full and part < sizes.log // PARTS:
                    done = sealer.seal()
                    part += done.sealed

            passed = seconds(drain)
            rates.append(part / passed)
            sealed += part
        rows = done.size
        if sealed < sizes.log:
            raise RuntimeError(f"{sealed} of {sizes.log} events were sealed")
        with cluster.superuser(database) as superuser:
            superuser.execute("VACUUM ANALYZE")
        # The last part may be a few events only.
        _made[place] = SealedLog(
            database=database, sealer=sealer, rows=rows, payload_bytes=payload_bytes, rates=rates[:PARTS]
        )
    cluster.use(_made[place].database)
    return _made[place]
