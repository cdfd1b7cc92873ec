"""Say what an export holds: how many rows, of which filter, for whom, and the hash of the file."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, BinaryIO, Final

from audit.actor import Actor
from audit.canonical import canonical_json
from audit.events import LogExported
from audit.exporters import csv_table, json_lines, ocsf, payloads
from audit.governed import column_value
from audit.queries import AuditEventQuerySet

VERSION = 1
# Each form's file, what stands before the first event, and how payloads become lines.
_WRITERS: Final[Mapping[str, tuple[str, Callable[[], bytes], Callable[[Iterable[bytes]], bytes]]]] = {
    json_lines.FORM: ("log.jsonl", bytes, json_lines.lines),
    csv_table.FORM: ("log.csv", csv_table.header, csv_table.lines),
    ocsf.FORM: ("log.ocsf.jsonl", bytes, ocsf.lines),
}
FORMS = tuple(_WRITERS)
PRIVATE_FILE = "private.jsonl"

Progress = Callable[[int], None]


def quiet(_rows: int) -> None:
    """Tell nobody."""


def file_name(form: str) -> str:
    """Return the name of the file of events beside the manifest."""
    return _writer(form)[0]


def _writer(form: str) -> tuple[str, Callable[[], bytes], Callable[[Iterable[bytes]], bytes]]:
    try:
        return _WRITERS[form]
    except KeyError:
        raise ValueError(f"no export has the form {form!r}") from None


@dataclass(frozen=True, kw_only=True)
class Written:
    """How much was written to a file, and its hash."""

    rows: int
    size: int
    sha256: str


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
    private: Written | None = None

    def encoded(self) -> bytes:
        """Return the manifest file; it speaks of a private part only where one was asked for."""
        told = {each.name: column_value(getattr(self, each.name)) for each in fields(self) if each.name != "private"}
        if self.private is not None:
            told["private"] = {name: column_value(value) for name, value in vars(self.private).items()}
        return canonical_json({"version": VERSION, **told})

    def event(self, *, export: str = "", file_sha256: str = "") -> LogExported:
        """Return the event that puts this export on record."""
        return LogExported(
            target_id="log",
            form=self.form,
            searched=self.searched,
            rows=self.rows,
            size=self.size,
            sha256=self.sha256,
            export=export,
            file_sha256=file_sha256,
            with_private=self.private is not None,
        )


def export(
    events: AuditEventQuerySet, *, form: str, into: BinaryIO, searched: Mapping[str, str], actor: Actor, at: datetime
) -> Manifest:
    """Write what `events` selects to `into` and return its manifest; the caller records `manifest.event()`."""
    written = write_events(payloads.of_search(events), form=form, into=into)
    return manifest_of(written, form=form, searched=searched, actor=actor, at=at)


def manifest_of(
    written: Written,
    *,
    form: str,
    searched: Mapping[str, str],
    actor: Actor,
    at: datetime,
    private: Written | None = None,
) -> Manifest:
    """Say of a written file what it holds and for whom."""
    return Manifest(
        form=form,
        rows=written.rows,
        size=written.size,
        sha256=written.sha256,
        searched=dict(searched),
        exported_by=f"{actor.kind}:{actor.id}",
        exported_at=at,
        private=private,
    )


def write_events(batches: payloads.Batches, *, form: str, into: BinaryIO, progress: Progress = quiet) -> Written:
    """Write the events of `batches` to `into`; count and hash what was written. `progress` hears of rows so far."""
    _, header, lines = _writer(form)

    def encode(batch: list[tuple[Any, ...]]) -> bytes:
        return lines([payload for (payload,) in batch])

    return _write(batches, encode=encode, header=header(), into=into, progress=progress)


def write_private(batches: payloads.Batches, *, into: BinaryIO, progress: Progress = quiet) -> Written:
    """Write private parts to `into`, each with the salt that its commitment was made with."""
    return _write(batches, encode=json_lines.private_lines, header=b"", into=into, progress=progress)


def _write(
    batches: payloads.Batches,
    *,
    encode: Callable[[list[tuple[Any, ...]]], bytes],
    header: bytes,
    into: BinaryIO,
    progress: Progress,
) -> Written:
    digest, rows, size = hashlib.sha256(header), 0, len(header)
    into.write(header)
    for batch in batches:
        block = encode(batch)
        into.write(block)
        digest.update(block)
        rows += len(batch)
        size += len(block)
        progress(rows)
    return Written(rows=rows, size=size, sha256=digest.hexdigest())
