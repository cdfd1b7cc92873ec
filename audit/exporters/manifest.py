"""Say what an export holds: how many rows, of which filter, for whom, and the hash of the file."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import BinaryIO

from audit.actor import Actor
from audit.canonical import canonical_json
from audit.events import LogExported
from audit.exporters import csv_table, json_lines
from audit.exporters.pages import oldest_first
from audit.governed import column_value
from audit.queries import AuditEventQuerySet

VERSION = 1
FORMS = (json_lines.FORM, csv_table.FORM)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What was promised and what was written; a filtered subset proves presence, not completeness."""

    form: str
    rows: int
    size: int
    sha256: str
    searched: Mapping[str, str]
    exported_by: str
    exported_at: datetime

    def encoded(self) -> bytes:
        """Return the manifest file."""
        return canonical_json({"version": VERSION, **{key: column_value(value) for key, value in asdict(self).items()}})

    def event(self) -> LogExported:
        """Return the event that puts this export on record."""
        return LogExported(
            target_id="log",
            form=self.form,
            searched=self.searched,
            rows=self.rows,
            size=self.size,
            sha256=self.sha256,
        )


def export(
    events: AuditEventQuerySet, *, form: str, into: BinaryIO, searched: Mapping[str, str], actor: Actor, at: datetime
) -> Manifest:
    """Write what `events` selects to `into` and return its manifest; the caller records `manifest.event()`."""
    digest, rows, size = hashlib.sha256(), 0, 0
    for line, is_row in _lines(events, form):
        into.write(line)
        digest.update(line)
        rows += is_row
        size += len(line)
    return Manifest(
        form=form,
        rows=rows,
        size=size,
        sha256=digest.hexdigest(),
        searched=dict(searched),
        exported_by=f"{actor.kind}:{actor.id}",
        exported_at=at,
    )


def _lines(events: AuditEventQuerySet, form: str) -> Iterator[tuple[bytes, bool]]:
    if form == csv_table.FORM:
        yield csv_table.header(), False
        written = csv_table.lines(oldest_first(events))
    elif form == json_lines.FORM:
        written = json_lines.lines(oldest_first(events))
    else:
        raise ValueError(f"no export has the form {form!r}")
    for line in written:
        yield line, True
