"""Gather the events that tell the whole life of one key, from the first request to the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID

from django.db.models import Q

from audit.models import AuditEvent
from keys.models import Approval, KeyRequest, KeyTransfer, KeyVersion, ManagedKey, Rotation

LONGEST = 500


def events_of_key(key: ManagedKey) -> list[AuditEvent]:
    """The events of a key, its versions, rotations and transfers, and of the requests and decisions behind it, newest first."""
    requests = list(
        KeyRequest.objects.filter(Q(pk=key.request_id) | Q(renews=key)).values_list("pk", flat=True).order_by("number")
    )
    return _events(
        {
            "key": [key.pk],
            "version": KeyVersion.objects.filter(managed_key=key).values_list("pk", flat=True),
            "rotation": Rotation.objects.filter(managed_key=key).values_list("pk", flat=True),
            "transfer": KeyTransfer.objects.filter(managed_key=key).values_list("pk", flat=True),
            "request": requests,
            "approval": Approval.objects.filter(request__in=requests).values_list("pk", flat=True),
        }
    )


def events_of_request(request: KeyRequest) -> list[AuditEvent]:
    """The events of a request and of the decisions about it, newest first."""
    approvals = Approval.objects.filter(request=request).values_list("pk", flat=True)
    return _events({"request": [request.pk], "approval": approvals})


def _events(targets: Mapping[str, Iterable[UUID]]) -> list[AuditEvent]:
    wanted = Q(pk=None)
    for target_type, ids in targets.items():
        if texts := [str(each) for each in ids]:
            wanted |= Q(target_type=target_type, target_id__in=texts)
    return list(AuditEvent.objects.filter(wanted).select_related("private").newest_first()[:LONGEST])
