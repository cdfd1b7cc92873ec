"""Write the file of an export from one snapshot of the database, in constant memory, and tell how far it is."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import datetime
from typing import Any, BinaryIO, Final, cast

from django.db import connections, transaction

from audit.actor import Actor
from audit.checkpoints import cosigned
from audit.exporters import bundle, ocsf
from audit.exporters.manifest import PRIVATE_FILE, Manifest, file_name, manifest_of, write_events, write_private
from audit.exporters.summary_pdf import PDF_FILE, summary_pdf
from audit.exporters.tally import Tally
from audit.models import AuditCheckpoint
from audit.notes import NoteError, Verifier
from audit.pins import log_keys
from keys.reports import export_queue, export_scopes
from keys.reports.export_queue import Taken

TELL_SECONDS: Final = 1.0
# The fastest level: a worker shall not spend its time on squeezing.
_LEVEL: Final = 1


class NotWhole(Exception):
    """Not everything that was promised is in the database: a part was archived and pruned."""


@contextmanager
def snapshot(using: str) -> Iterator[None]:
    """One picture of the database for all batches, however long they take to write."""
    with transaction.atomic(using=using, durable=True):
        with connections[using].cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute("SET LOCAL statement_timeout = 0")
        yield


class _Progress:
    """Tell how far it is, at most once a second."""

    def __init__(self, taken: Taken) -> None:
        self._taken = taken
        self._told = 0.0

    def __call__(self, rows: int) -> None:
        if time.monotonic() - self._told >= TELL_SECONDS:
            self._told = time.monotonic()
            export_queue.still(self._taken, rows=rows)


def write_file(taken: Taken, file: BinaryIO, *, requester: Actor, at: datetime, using: str) -> Manifest:
    """Write a zip of the events in one form, of their private parts where they were asked for, and of the manifest."""
    export, tell = taken.export, _Progress(taken)
    wanted, private = export_scopes.restored(export.scope), None
    with snapshot(using), zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as packed:
        total = export_scopes.count(wanted, using=using)
        export_queue.still(taken, total=total)
        events = export_scopes.batches(wanted, using=using)
        with packed.open(file_name(export.form), "w", force_zip64=True) as into:
            written = write_events(events, form=export.form, into=cast("BinaryIO", into), progress=tell)
        if written.rows != total:
            raise NotWhole
        if export.with_private:
            parts = export_scopes.private_batches(wanted, using=using)
            with packed.open(PRIVATE_FILE, "w", force_zip64=True) as into:
                private = write_private(parts, into=cast("BinaryIO", into))
        manifest = manifest_of(
            written, form=export.form, searched=export.searched, actor=requester, at=at, private=private
        )
        packed.writestr("manifest.json", manifest.encoded())
    return manifest


def write_evidence(
    taken: Taken, file: BinaryIO, *, requester: Actor, at: datetime, using: str
) -> bundle.BundleManifest:
    """Write an evidence bundle, but for the event that signs its manifest."""
    export, tally = taken.export, Tally()
    wanted = export_scopes.restored(export.scope)

    def summary(manifest: bundle.BundleManifest) -> bytes:
        head = AuditCheckpoint.objects.using(using).get(size=manifest.size)
        return summary_pdf(manifest, tally, note=cosigned(head, using))

    with snapshot(using):
        export_queue.still(taken, total=export_scopes.count(wanted, using=using))
        return bundle.write_bundle(
            export_scopes.for_bundle(wanted, using=using),
            into=file,
            actor=requester,
            at=at,
            progress=_Progress(taken),
            using=using,
            with_private=export.with_private,
            key="\n".join(each.text() for each in _keys()),
            lines=(bundle.LinesFile(name=file_name(ocsf.FORM), lines=ocsf.lines),)
            if export_scopes.with_ocsf(export.scope)
            else (),
            pages=(bundle.PageFile(name=PDF_FILE, write=summary),),
            seen=tally.count,
        )


def manifest_in(file: BinaryIO) -> bundle.BundleManifest:
    """Read the manifest of a bundle that an earlier attempt wrote; the list of its files is not needed again."""
    with zipfile.ZipFile(file) as packed:
        told = json.loads(packed.read(bundle.MANIFEST))
    names = {each.name for each in fields(bundle.BundleManifest)} - {"files", "exported_at"}
    facts: dict[str, Any] = {name: told[name] for name in names}
    return bundle.BundleManifest(**facts, exported_at=datetime.fromisoformat(told["exported_at"]))


def _keys() -> list[Verifier]:
    """The public keys that this site pins, if it has any; whoever verifies takes their own."""
    try:
        return log_keys()
    except (OSError, NoteError):
        return []
