"""Say what each operation gives; what those on keys give is in portal/api/key_outputs.py. Nothing here is a secret."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from audit.actor import ActorKind
from audit.models import AuditEvent, AuditExport, ExportState
from keys.models import KeyRequest, Person
from keys.reports.labels import private_facts

S = serializers
_PERSON = {
    "type": "object",
    "properties": {"id": {"type": "string", "format": "uuid"}, "name": {"type": ["string", "null"]}},
    "required": ["id", "name"],
}
PLACE = {
    "type": ["object", "null"],
    "properties": {"service": {"type": "string"}, "environment": {"type": "string"}},
    "required": ["service", "environment"],
}
PLAN = {
    "type": "object",
    "properties": {"overlap": {"type": "string"}, "every_days": {"type": ["integer", "null"]}},
    "required": ["overlap", "every_days"],
}


@extend_schema_field(_PERSON)
class PersonField(S.Field):  # type: ignore[type-arg]  # DRF's Field is generic in the stubs only
    """A person. Programs know nobody's name."""

    def to_representation(self, value: Person) -> dict[str, Any]:
        """Write the id, and the name for colleagues."""
        actor = self.context.get("actor")
        known = actor is not None and actor.kind == ActorKind.PERSON
        return {"id": str(value.pk), "name": value.name if known else None}


@extend_schema_field({**_PERSON, "type": ["object", "null"]})
class PersonOrNobody(PersonField):
    """A person, or null."""


class ScopeOut(S.Serializer):  # type: ignore[type-arg]
    """One thing a key may do to a service."""

    name = S.CharField()
    description = S.CharField()
    access = S.CharField()
    risk = S.CharField()
    retires_at = S.DateTimeField(allow_null=True)


class TemplateOut(S.Serializer):  # type: ignore[type-arg]
    """A choice of scopes that a service recommends."""

    name = S.CharField()
    description = S.CharField()
    scopes = S.ListField(child=S.CharField())


class ServiceOut(S.Serializer):  # type: ignore[type-arg]
    """An API that keys open."""

    id = S.UUIDField()
    slug = S.CharField()
    name = S.CharField()
    description = S.CharField()
    owner_team = S.CharField(source="owner_team.slug")
    created_at = S.DateTimeField()
    retires_at = S.DateTimeField(allow_null=True)
    retired_at = S.DateTimeField(allow_null=True)


class ServiceDetailOut(ServiceOut):
    """A service with its living scopes and templates."""

    scopes = ScopeOut(many=True, source="living_scopes")
    templates = TemplateOut(many=True, source="living_templates")


class EnvironmentOut(S.Serializer):  # type: ignore[type-arg]
    """Where keys work."""

    id = S.UUIDField()
    tag = S.CharField()
    name = S.CharField()
    environment_class = S.CharField()


class PolicyOut(S.Serializer):  # type: ignore[type-arg]
    """The rules in force for a service in an environment."""

    id = S.UUIDField()
    service = S.CharField(source="service.slug")
    environment = S.CharField(source="environment.tag")
    version = S.IntegerField()
    approvals_required = S.IntegerField()
    service_approvals_required = S.IntegerField()
    approver_team = S.SerializerMethodField()
    max_cryptoperiod_days = S.IntegerField()
    max_authorised_days = S.IntegerField()
    networks_required = S.BooleanField()
    ticket_pattern = S.CharField()
    kinds = S.ListField(child=S.CharField())
    self_fetch_allowed = S.BooleanField()
    lapse_days = S.IntegerField()
    claim_hours = S.IntegerField()
    longest_overlap_hours = S.IntegerField()
    deadline_wins = S.BooleanField()
    brownouts = S.BooleanField()
    unused_days = S.IntegerField()
    signature_required = S.BooleanField()
    signed_scopes = S.ListField(child=S.CharField())
    signature_window_seconds = S.IntegerField()
    created_at = S.DateTimeField()

    def get_approver_team(self, row: Any) -> str | None:
        """Name the team."""
        return row.approver_team.slug if row.approver_team else None


class ApprovalOut(S.Serializer):  # type: ignore[type-arg]
    """One decision."""

    id = S.UUIDField()
    person = PersonField()
    seat = PersonField()
    decision = S.CharField()
    digest = S.CharField()
    on_service_side = S.BooleanField()
    method = S.CharField()
    comment = S.CharField()
    created_at = S.DateTimeField()
    voided_at = S.DateTimeField(allow_null=True)


class RequestOut(S.Serializer):  # type: ignore[type-arg]
    """A wish for a key; `content` is the canonical request that approvers decide about, `digest` names it."""

    id = S.UUIDField()
    number = S.CharField(source="__str__")
    state = S.CharField()
    requester = PersonOrNobody()
    requested_by_key = S.UUIDField(source="requested_by_key_id", allow_null=True)
    recipient = PersonField()
    owner_team = S.CharField(source="owner_team.slug")
    service = S.CharField(source="service.slug")
    environment = S.CharField(source="environment.tag")
    renews = S.UUIDField(source="renews_id", allow_null=True)
    content = S.DictField(child=S.JSONField())
    digest = S.CharField()
    revision = S.IntegerField()
    purpose = S.CharField()
    question = S.CharField()
    created_at = S.DateTimeField()
    lapses_at = S.DateTimeField()
    decided_at = S.DateTimeField(allow_null=True)


class RequestDetailOut(RequestOut):
    """A request with the decisions about it and the key it led to."""

    approvals = ApprovalOut(many=True, source="approvals.all")
    keys = S.SerializerMethodField()

    def get_keys(self, row: KeyRequest) -> list[str]:
        """Name the key that came of it, if one did."""
        return [str(each.pk) for each in row.keys.all()]


class TransferOut(S.Serializer):  # type: ignore[type-arg]
    """The offer of a key by its team to another."""

    id = S.UUIDField()
    key = S.UUIDField(source="managed_key_id")
    from_team = S.CharField(source="from_team.slug")
    to_team = S.CharField(source="to_team.slug")
    offered_by = PersonField()
    comment = S.CharField()
    outcome = S.CharField()
    created_at = S.DateTimeField()
    lapses_at = S.DateTimeField()
    decided_at = S.DateTimeField(allow_null=True)


class EventOut(S.Serializer):  # type: ignore[type-arg]
    """One event of the log: the hashed envelope, and its private part while that still exists."""

    uid = S.UUIDField()
    occurred_at = S.DateTimeField()
    recorded_at = S.DateTimeField()
    action = S.CharField()
    actor_type = S.CharField()
    actor_id = S.CharField()
    target_type = S.CharField()
    target_id = S.CharField()
    environment = S.CharField()
    outcome = S.CharField()
    request_id = S.CharField()
    envelope = S.SerializerMethodField()
    private = S.SerializerMethodField()

    @extend_schema_field({"type": "object", "additionalProperties": {}})
    def get_envelope(self, row: AuditEvent) -> dict[str, Any]:
        """Return what was hashed."""
        return row.envelope()

    @extend_schema_field({"type": ["object", "null"], "additionalProperties": {}})
    def get_private(self, row: AuditEvent) -> dict[str, Any] | None:
        """Return what can be erased, or null once it was. Programs know nobody, so they get none of it."""
        actor = self.context.get("actor")
        if actor is None or actor.kind != ActorKind.PERSON:
            return None
        return private_facts(row)


class ExportOut(S.Serializer):  # type: ignore[type-arg]
    """A file from the log: what was asked for, how far it is, and what came of it."""

    id = S.UUIDField(source="uid")
    requested_at = S.DateTimeField()
    requested_by = S.CharField()
    form = S.CharField()
    searched = S.DictField(child=S.CharField())
    with_private = S.BooleanField()
    state = S.ChoiceField(choices=[str(each) for each in ExportState])
    rows = S.IntegerField()
    total = S.IntegerField(allow_null=True)
    size = S.IntegerField()
    sha256 = S.SerializerMethodField()
    error = S.CharField()
    finished_at = S.DateTimeField(allow_null=True)
    expires_at = S.DateTimeField(allow_null=True)

    def get_sha256(self, row: AuditExport) -> str:
        """Return the hash of the file, in hexadecimal; empty until it is done."""
        return bytes(row.sha256).hex()


class MeOut(S.Serializer):  # type: ignore[type-arg]
    """Who calls, and what they may do."""

    kind = S.ChoiceField(choices=["person", "program"])
    id = S.UUIDField()
    name = S.CharField()
    roles = S.ListField(child=S.CharField())
    teams = S.DictField(child=S.ListField(child=S.CharField()))
    scopes = S.ListField(child=S.CharField())
    environment = S.CharField(allow_null=True)
    step_ups = S.ListField(child=S.CharField())


def page_of(kind: type[S.BaseSerializer]) -> Any:  # type: ignore[type-arg]  # Any: a class made here
    """Describe a page of things."""
    name = kind.__name__.removesuffix("Out")
    fields = {
        "results": kind(many=True),
        "next": S.CharField(allow_null=True, help_text="The cursor of the page after this one, or null."),
    }
    return type(f"{name}Page", (S.Serializer,), {"__doc__": f"A page of {name.lower()} rows.", **fields})
