"""Ask for a file from the log that a worker makes, follow it, take it away or back: each decided by the policy and on record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from audit import clock
from audit.actor import Actor, ActorKind
from audit.checkpoints import latest_checkpoint
from audit.events import ExportCancelled, ExportDownloaded, ExportRequested
from audit.exporters import bundle, manifest
from audit.log import record
from audit.models import OPEN_EXPORTS, AuditExport, ExportState
from audit.uuid7 import uuid7
from keys.errors import Conflict, Gone, Invalid, NotFound
from keys.operations import locked, operation
from keys.people.standing import standing_of
from keys.policy.decisions import Decision
from keys.policy.enforcement import enforce
from keys.policy.rules import may_cancel_export, may_export_so
from keys.policy.step_up import needs_step_up
from keys.reports import export_files, export_queue
from keys.reports.export_scopes import Leaves, Wanted, stored
from keys.reports.log import decide_reading, within_reach

FORMS = (bundle.FORM, *manifest.FORMS)
MOST_OPEN = 3
PAGE_SIZE = 50


@dataclass(frozen=True, kw_only=True)
class Download:
    """A finished file that may be handed out now."""

    path: Path
    size: int
    name: str


@operation
def request_export(
    wanted: Wanted, *, form: str, actor: Actor, with_private: bool = False, with_ocsf: bool = False
) -> AuditExport:
    """Ask for a file. Private parts are in it only when they were asked for, which is on record."""
    at = decide_reading(actor)
    is_range = isinstance(wanted, Leaves)
    enforce(may_export_so(actor, whole_range=is_range, with_private=with_private))
    enforce(needs_step_up(actor, "export", at=at))
    if form not in FORMS:
        raise Invalid.field("form", "unknown_choice")
    if isinstance(wanted, Leaves):
        _check_range(wanted)
    else:
        wanted = within_reach(wanted, actor)
    requester = _identity(actor)
    if AuditExport.objects.filter(requested_by=requester, state__in=OPEN_EXPORTS).count() >= MOST_OPEN:
        raise Conflict("too_many_exports", most=MOST_OPEN)
    export = AuditExport(
        uid=uuid7(int(at.timestamp() * 1000)),
        requested_at=at,
        requested_by=requester,
        form=form,
        searched=wanted.told(),
        scope=stored(wanted, with_ocsf=with_ocsf and form == bundle.FORM),
        with_private=with_private,
    )
    export.save(force_insert=True)
    event = ExportRequested(
        target_id=str(export.uid),
        form=form,
        searched=wanted.told(),
        with_private=with_private,
        environment=_place(wanted),
    )
    record(event, actor=actor, at=at)
    return export


@operation
def read_exports(*, actor: Actor, before: UUID | None = None, size: int = PAGE_SIZE) -> list[AuditExport]:
    """Return a page of the history, newest first: one more than `size` says that there is a next page."""
    decide_reading(actor)
    rows = _visible(actor).order_by("-uid")
    return list((rows if before is None else rows.filter(uid__lt=before))[: size + 1])


@operation
def read_export(uid: UUID, *, actor: Actor) -> AuditExport:
    """Return one export as it is now."""
    decide_reading(actor)
    return _found(uid, actor)


@operation
def take_export(uid: UUID, *, actor: Actor) -> Download:
    """Let a reader of the log take a finished file, and put that on record."""
    at = decide_reading(actor)
    export = _found(uid, actor)
    enforce(needs_step_up(actor, "export", at=at))
    if export.state in OPEN_EXPORTS:
        raise Conflict("export_not_ready")
    if export.state != ExportState.DONE or _is_over(export, at):
        raise Gone("export_gone")
    path = export_files.path_of(export.file)
    if not path.is_file() or path.stat().st_size != export.size:
        raise Gone("export_gone")
    event = ExportDownloaded(
        target_id=str(export.uid),
        size=export.size,
        sha256=bytes(export.sha256).hex(),
        with_private=export.with_private,
    )
    record(event, actor=actor, at=at)
    name = f"keystead-{export.form}-{export.requested_at:%Y%m%dT%H%M%SZ}{export_files.SUFFIX}"
    return Download(path=path, size=export.size, name=name)


@operation
def cancel_export(uid: UUID, *, actor: Actor) -> AuditExport:
    """Take back what waits for a worker or is being made. What was asked for stays on record, and so does this."""
    at = decide_reading(actor)
    export = locked(_found(uid, actor))
    enforce(_cancelling(export, actor, at))
    if export.state not in OPEN_EXPORTS:
        raise Conflict("export_ended", state=export.state)
    record(ExportCancelled(target_id=str(export.uid), was=export.state), actor=actor, at=at)
    export_queue.cancel(export, at=at)
    # A bundle that waits to be sealed lies there already; what a worker is writing it deletes itself.
    transaction.on_commit(lambda: export_files.delete(export.file))
    export.refresh_from_db()
    return export


def may_cancel(export: AuditExport, *, actor: Actor) -> bool:
    """Whether a button is worth showing."""
    return bool(_cancelling(export, actor, clock.now()))


def _cancelling(export: AuditExport, actor: Actor, at: datetime) -> Decision:
    return may_cancel_export(standing_of(actor, at=at), is_own=export.requested_by == _identity(actor))


def _check_range(wanted: Leaves) -> None:
    head = latest_checkpoint()
    if head is None or wanted.upto_leaf > head.size:
        raise Invalid.field("upto_leaf", "not_sealed_so_far", size=head.size if head else 0)
    if not 0 <= wanted.from_leaf < wanted.upto_leaf:
        raise Invalid.field("upto_leaf", "no_range")


def _visible(actor: Actor) -> QuerySet[AuditExport]:
    """People who read the log see all exports of it; a program sees its own."""
    rows = AuditExport.objects.all()
    return rows.filter(requested_by=_identity(actor)) if actor.kind == ActorKind.PROGRAM else rows


def _found(uid: UUID, actor: Actor) -> AuditExport:
    export = _visible(actor).filter(uid=uid).first()
    if export is None:
        raise NotFound
    return export


def _identity(actor: Actor) -> str:
    return f"{actor.kind}:{actor.id}"


def _place(wanted: Wanted) -> str:
    return "" if isinstance(wanted, Leaves) else wanted.environment


def _is_over(export: AuditExport, at: datetime) -> bool:
    return export.expires_at is not None and export.expires_at <= at
