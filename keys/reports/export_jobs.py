"""Make the files that were asked for, one at a time, and again when a worker died.

A file is written under a name of this attempt alone. Only the commit that asks whether the lease is still ours makes it the
export's file; so an export ends once, however many workers were killed over it.
"""

from __future__ import annotations

import errno
from dataclasses import replace
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction

from audit import clock
from audit.actor import Actor, ActorKind
from audit.checkpoints import NotSealed, wait_until_sealed
from audit.events import ExportExpired, ExportFailed, Outcome
from audit.exporters import bundle
from audit.exporters.manifest import Manifest
from audit.log import record
from audit.models import OPEN_EXPORTS, AuditExport, ExportState
from keys.errors import Denied
from keys.leases import kept
from keys.operations import operation
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.rules import may_read_log
from keys.reports import export_files, export_queue
from keys.reports.export_queue import LeaseLost, Taken
from keys.reports.export_writing import NotWhole, manifest_in, write_evidence, write_file

log = structlog.get_logger(__name__)
SEALED_WITHIN: Final = 20.0  # seconds that one attempt waits for the sealer
SEALED_AT_LAST: Final = timedelta(days=1)
AGAIN: Final = timedelta(seconds=5)
LEFT_BEHIND_SECONDS: Final = 3600.0


class _NotYet(Exception):
    """The sealer has not come so far; another attempt will find it."""


class _GaveUp(Exception):
    """It was tried often enough."""


# Trying again would end alike. Anything else that goes wrong leaves the row to the next attempt.
_HOPELESS: Final = (Denied, NotWhole, bundle.BundleError, NotSealed, OSError, _GaveUp)


def make_waiting(*, actor: Actor, using: str = "auditor") -> int:
    """Make the file that has waited longest; returns how many exports came to an end."""
    taken = export_queue.take()
    if taken is None:
        return 0
    try:
        with kept(lambda: export_queue.still(taken), lost=(LeaseLost,)):
            _make(taken, actor=actor, using=using)
    except (LeaseLost, _NotYet) as reason:
        log.info("export_left", export=str(taken.uid), attempt=taken.attempt, code=type(reason).__name__)
        return 0
    except _HOPELESS as reason:
        return _give_up(taken, code=_code(reason), actor=actor)
    return 1


def forget_exports(*, actor: Actor) -> int:
    """Delete the files whose time is over, and what dead workers left."""
    over = list(AuditExport.objects.filter(state=ExportState.DONE, expires_at__lte=clock.now()))
    for export in over:
        export_files.delete(export.file)
        _expire(export, actor=actor)
    living = AuditExport.objects.filter(state__in=(*OPEN_EXPORTS, ExportState.DONE))
    kept = {name for name in living.values_list("file", flat=True) if name}
    kept |= {export_files.new_name(uid, attempt) for uid, attempt in living.values_list("uid", "attempts")}
    return len(over) + export_files.sweep(kept, older_than=LEFT_BEHIND_SECONDS)


def _make(taken: Taken, *, actor: Actor, using: str) -> None:
    export = taken.export
    uid, name = export.event_uid, export.file
    if uid is None:
        if taken.attempt > export_queue.MOST_ATTEMPTS:
            raise _GaveUp
        name = export_files.new_name(export.uid, taken.attempt)
        try:
            uid = _write(taken, name, actor=actor, using=using)
        except BaseException:
            export_files.delete(name)
            raise
    if export.form == bundle.FORM:
        _seal(taken, uid, name, actor=actor, using=using)


def _write(taken: Taken, name: str, *, actor: Actor, using: str) -> UUID:
    """Write the file and put it on record; return the event that tells of it."""
    requester, at = _requester(taken.export), clock.now()
    # Whoever lost the right to read the log since they asked gets nothing.
    enforce(may_read_log(standing_of(requester, at=at)))
    with export_files.create(name) as file:
        if taken.export.form == bundle.FORM:
            evidence = write_evidence(taken, file, requester=requester, at=at, using=using)
            export_files.settle(file)
            return _put_on_record(taken, evidence, name, actor=actor)
        manifest = write_file(taken, file, requester=requester, at=at, using=using)
        export_files.settle(file)
        size, digest = export_files.measured(file)
    return _finish(taken, manifest, name, size=size, digest=digest, actor=actor)


def _seal(taken: Taken, uid: UUID, name: str, *, actor: Actor, using: str) -> None:
    """Wait until the event of a bundle is sealed and add what then signs its manifest, in a copy; then it is done."""
    if not wait_until_sealed([uid], seconds=SEALED_WITHIN):
        asked = taken.export.started_at
        if asked is not None and clock.now() - asked > SEALED_AT_LAST:
            export_files.delete(name)
            raise NotSealed
        export_queue.release(taken, until=AGAIN)
        raise _NotYet
    finished = export_files.new_name(taken.uid, taken.attempt, finished=True)
    try:
        with export_files.copied(name, into=finished) as file:
            with transaction.atomic(using=using):
                bundle.finish_bundle(manifest_in(file), uid, into=file, using=using)
            export_files.settle(file)
            size, digest = export_files.measured(file)
        export_queue.finish(taken, at=clock.now(), keep=_keep(), size=size, sha256=digest, file=finished)
    except BaseException:
        export_files.delete(finished)
        raise
    export_files.delete(name)


@operation
def _put_on_record(taken: Taken, manifest: bundle.BundleManifest, name: str, *, actor: Actor) -> UUID:
    """Record a bundle; the sealing of this very event signs its manifest."""
    event = replace(manifest.event(), export=str(taken.uid))
    uid = record(event, actor=_for_requester(taken.export, actor), at=clock.now())
    export_queue.still(taken, rows=manifest.rows, total=manifest.rows, file=name, event_uid=uid)
    return uid


@operation
def _finish(taken: Taken, manifest: Manifest, name: str, *, size: int, digest: bytes, actor: Actor) -> UUID:
    """Put a finished file on record and hand it over, or neither."""
    at = clock.now()
    event = manifest.event(export=str(taken.uid), file_sha256=digest.hex())
    uid = record(event, actor=_for_requester(taken.export, actor), at=at)
    columns = {"rows": manifest.rows, "size": size, "sha256": digest, "file": name, "event_uid": uid}
    export_queue.finish(taken, at=at, keep=_keep(), **columns)
    return uid


@operation
def _fail(taken: Taken, code: str, *, actor: Actor) -> None:
    """Put on record that there will be no file, and why."""
    at = clock.now()
    event = ExportFailed(
        target_id=str(taken.uid), reason=code.replace("_", "-"), attempts=taken.attempt, outcome=Outcome.FAILURE
    )
    record(event, actor=_for_requester(taken.export, actor), at=at)
    export_queue.give_up(taken, at=at, code=code)


@operation
def _expire(export: AuditExport, *, actor: Actor) -> None:
    """Put on record that the file of an export is gone."""
    event = ExportExpired(target_id=str(export.uid), sha256=bytes(export.sha256).hex())
    record(event, actor=actor, at=clock.now())
    export_queue.expire(export)


def _give_up(taken: Taken, *, code: str, actor: Actor) -> int:
    try:
        _fail(taken, code, actor=actor)
    except LeaseLost:
        return 0
    log.warning("export_failed", export=str(taken.uid), code=code)
    return 1


def _code(reason: Exception) -> str:
    if isinstance(reason, Denied):
        return reason.code
    if isinstance(reason, OSError):
        return "export_no_space" if reason.errno in (errno.ENOSPC, errno.EDQUOT) else "export_unwritable"
    if isinstance(reason, NotSealed):
        return "export_not_sealed"
    return "export_gave_up" if isinstance(reason, _GaveUp) else "export_not_whole"


def _requester(export: AuditExport) -> Actor:
    kind, _, name = export.requested_by.partition(":")
    return Actor(kind=ActorKind(kind), id=name)


def _for_requester(export: AuditExport, actor: Actor) -> Actor:
    return replace(actor, on_behalf_of=_requester(export))


def _keep() -> timedelta:
    return timedelta(days=settings.KEYSTEAD_EXPORT_DAYS)
