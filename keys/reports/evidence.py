"""Choose what an evidence bundle about a key or a request needs to prove itself, and make one on record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import BinaryIO
from uuid import UUID

from django.db import connection, connections
from django.db.models import Q

from audit.actor import Actor
from audit.checkpoints import wait_until_sealed
from audit.exporters.bundle import BundleManifest, finish_bundle, write_bundle
from audit.exporters.bundle_rows import LeafRange, Scope, Selection
from audit.log import record
from audit.models import AuditEvent
from audit.queries import AuditEventQuerySet
from keys.models import Approval, KeyRequest, KeyVersion, ManagedKey, Passkey
from keys.operations import operation
from keys.policy.enforcement import enforce
from keys.policy.step_up import needs_step_up
from keys.reports.log import decide_reading, within_reach
from keys.reports.searches import LogSearch

SUPPORTED = ("key", "request")
MOST_SUPPORTED = 20_000
_NAMES = ("service.created", "environment.created", "team.created")
_TELLING = ("request", "approval", "key")
_SUBJECTS = """
SELECT DISTINCT e.target_type, e.target_id FROM audit_leaf l JOIN audit_event e ON e.id = l.event_id
WHERE l.index >= %s AND l.index < %s AND e.target_type IN ('request', 'approval', 'key') LIMIT %s
"""


def scope_of(wanted: LeafRange | LogSearch, *, using: str = "default") -> Scope:
    """Return what a bundle holds: of a range also what its approvals need that happened before."""
    if isinstance(wanted, LogSearch):
        return selection_of(wanted)
    return replace(wanted, support=_behind_range(wanted, using)) if wanted.from_leaf else wanted


def selection_of(search: LogSearch) -> Selection:
    """Return what `search` finds; for a key or a request also what its approvals and its issuance are proved with."""
    events, target = search.select(), search.target
    pk = _uuid(target.id) if target is not None else None
    if target is None or pk is None or target.kind not in SUPPORTED:
        return Selection(events=events, searched=search.told())
    support = _supporting(Q(keys=pk) | Q(renews=pk) if target.kind == "key" else Q(pk=pk))
    found = AuditEvent.objects.filter(
        Q(pk__in=events.order_by().values("pk")) | Q(pk__in=support.order_by().values("pk"))
    )
    return Selection(
        events=found, searched=search.told() | {"with": "requests, approvals, enrolments, policies and names"}
    )


def _behind_range(wanted: LeafRange, using: str) -> AuditEventQuerySet | None:
    """The requests that a range tells of, wholly; None when there are too many: then start the range at 0."""
    upto = 2**62 if wanted.upto_leaf is None else wanted.upto_leaf
    with connections[using].cursor() as cursor:
        cursor.execute(_SUBJECTS, (wanted.from_leaf, upto, MOST_SUPPORTED + 1))
        rows = cursor.fetchall()
    if len(rows) > MOST_SUPPORTED:
        return None
    ids = {kind: [pk for found, text in rows if found == kind and (pk := _uuid(text))] for kind in _TELLING}
    keys = ids["key"]
    return _supporting(
        Q(pk__in=ids["request"]) | Q(approvals__pk__in=ids["approval"]) | Q(keys__pk__in=keys) | Q(renews__in=keys)
    )


def _supporting(which: Q) -> AuditEventQuerySet:
    """The whole of these requests: their keys, approvals, the approvers' passkeys, the policies, what names mean."""
    requests = KeyRequest.objects.filter(pk__in=KeyRequest.objects.filter(which).values("pk"))
    keys = ManagedKey.objects.filter(Q(request__in=requests) | Q(pk__in=requests.exclude(renews=None).values("renews")))
    approvals = Approval.objects.filter(request__in=requests)
    passkeys = Passkey.objects.filter(user_id__in=approvals.values("person_id"))
    versions = KeyVersion.objects.filter(managed_key__in=keys)
    wanted = _named("policy", requests.values_list("policy_id", flat=True))
    for kind, rows in (
        ("request", requests),
        ("approval", approvals),
        ("passkey", passkeys),
        ("key", keys),
        ("version", versions),
    ):
        wanted |= _named(kind, rows.values_list("pk", flat=True))
    names = Q()
    for kind, columns in (
        ("service", ("service_id", "keys__verifies_service_id")),
        ("environment", ("environment_id", "keys__verifies_environment_id")),
        ("team", ("owner_team_id",)),
    ):
        for column in columns:
            names |= _named(kind, requests.values_list(column, flat=True))
    return AuditEvent.objects.filter(wanted | names & Q(action__in=_NAMES))


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _named(kind: str, ids: Iterable[object]) -> Q:
    found = sorted({str(each) for each in ids if each is not None})
    return Q(target_type=kind, target_id__in=found)


@operation
def export_bundle(
    wanted: LeafRange | LogSearch,
    *,
    into: BinaryIO,
    actor: Actor,
    with_private: bool = False,
    since: Sequence[int] = (),
    key: str = "",
) -> tuple[BundleManifest, UUID]:
    """Write a bundle without its signature, and put it on record; `seal_bundle` then finishes it. One snapshot for all pages."""
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    at = decide_reading(actor)
    enforce(needs_step_up(actor, "export", at=at))
    scope = scope_of(wanted if isinstance(wanted, LeafRange) else within_reach(wanted, actor))
    manifest = write_bundle(scope, into=into, actor=actor, at=at, with_private=with_private, since=since, key=key)
    return manifest, record(manifest.event(), actor=actor, at=at)


def seal_bundle(manifest: BundleManifest, uid: UUID, *, into: BinaryIO, seconds: float) -> bool:
    """Wait until the log has sealed the export, and add that to the bundle; False when it took too long."""
    if not wait_until_sealed([uid], seconds=seconds):
        return False
    finish_bundle(manifest, uid, into=into)
    return True
