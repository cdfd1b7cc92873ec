"""Choose what an evidence bundle about a key or a request needs to prove itself, and make one on record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, BinaryIO
from uuid import UUID

from django.db import connection
from django.db.models import Q

from audit.actor import Actor
from audit.checkpoints import wait_until_sealed
from audit.exporters.bundle import BundleManifest, LeafRange, Scope, Selection, finish_bundle, write_bundle
from audit.log import record
from audit.models import AuditEvent
from audit.queries import AuditEventQuerySet
from keys.models import Approval, KeyRequest, ManagedKey, Passkey
from keys.operations import operation
from keys.policy.enforcement import enforce
from keys.policy.step_up import needs_step_up
from keys.reports.log import decide_reading, within_reach
from keys.reports.searches import LogSearch, Subject, subjects_of

SUPPORTED = ("key", "request")
_NAMED = ("service.created", "environment.created", "team.created")


def selection_of(search: LogSearch) -> Selection:
    """Return what `search` finds; for a key or a request also what its approvals and its issuance are proved with."""
    events = search.select()
    if search.target is None or search.target.kind not in SUPPORTED:
        return Selection(events=events, searched=search.told())
    support = _supporting(search.target)
    found = AuditEvent.objects.filter(
        Q(pk__in=events.order_by().values("pk")) | Q(pk__in=support.order_by().values("pk"))
    )
    return Selection(
        events=found, searched=search.told() | {"with": "requests, approvals, enrolments, policies and names"}
    )


def _supporting(target: Subject) -> AuditEventQuerySet:
    """The whole of every request behind a thing: versions, approvals, the approvers' passkeys, the policy, what names mean."""
    requests = _requests_behind(target)
    keys = ManagedKey.objects.filter(Q(request__in=requests) | Q(pk__in=requests.exclude(renews=None).values("renews")))
    wanted = Q()
    for key in keys.values_list("pk", flat=True):
        wanted |= _about(subjects_of(Subject("key", str(key))))
    for request in requests.values_list("pk", flat=True):
        wanted |= _about(subjects_of(Subject("request", str(request))))
    approvers = Approval.objects.filter(request__in=requests).values("person_id")
    passkeys = Passkey.objects.filter(user_id__in=approvers).values_list("pk", flat=True)
    wanted |= _named("passkey", passkeys)
    wanted |= _named("policy", requests.values_list("policy_id", flat=True))
    names = Q()
    for kind, columns in (
        ("service", ("service_id", "keys__verifies_service_id")),
        ("environment", ("environment_id", "keys__verifies_environment_id")),
        ("team", ("owner_team_id",)),
    ):
        for column in columns:
            names |= _named(kind, requests.values_list(column, flat=True))
    return AuditEvent.objects.filter(wanted | names & Q(action__in=_NAMED))


def _requests_behind(target: Subject) -> Any:
    """Return the requests of a key or of a request's key: the first and every renewal (Any: a QuerySet of KeyRequest)."""
    try:
        pk = UUID(target.id)
    except ValueError:
        return KeyRequest.objects.none()
    if target.kind == "request":
        return KeyRequest.objects.filter(pk=pk)
    return KeyRequest.objects.filter(Q(keys__pk=pk) | Q(renews_id=pk))


def _named(kind: str, ids: Iterable[object]) -> Q:
    found = sorted({str(each) for each in ids if each is not None})
    return Q(target_type=kind, target_id__in=found)


def _about(subjects: Sequence[Subject]) -> Q:
    wanted = Q()
    for kind in {each.kind for each in subjects}:
        wanted |= _named(kind, [each.id for each in subjects if each.kind == kind])
    return wanted


@operation
def export_bundle(
    wanted: LeafRange | LogSearch,
    *,
    into: BinaryIO,
    actor: Actor,
    with_private: bool = False,
    since: Sequence[int] = (),
    key: str = "",
    progress: Callable[[int], None] = lambda rows: None,
) -> tuple[BundleManifest, UUID]:
    """Write a bundle without its signature, and put it on record; `seal_bundle` then finishes it. One snapshot for all pages."""
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    at = decide_reading(actor)
    enforce(needs_step_up(actor, "export", at=at))
    scope: Scope = wanted if isinstance(wanted, LeafRange) else selection_of(within_reach(wanted, actor))
    manifest = write_bundle(
        scope, into=into, actor=actor, at=at, progress=progress, with_private=with_private, since=since, key=key
    )
    return manifest, record(manifest.event(), actor=actor, at=at)


def seal_bundle(manifest: BundleManifest, uid: UUID, *, into: BinaryIO, seconds: float) -> bool:
    """Wait until the log has sealed the export, and add that to the bundle; False when it took too long."""
    if not wait_until_sealed([uid], seconds=seconds):
        return False
    finish_bundle(manifest, uid, into=into)
    return True
