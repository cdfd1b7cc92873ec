"""Say what each operation gives. Nothing here is a secret but the answer to a claim."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from audit.actor import ActorKind
from audit.models import AuditEvent, AuditExport, ExportState
from keys.models import KeyRequest, KeyVersion, ManagedKey, Person
from keys.policy.rotation_plan import plan_in
from keys.reports.labels import private_facts

S = serializers
_PERSON = {
    "type": "object",
    "properties": {"id": {"type": "string", "format": "uuid"}, "name": {"type": ["string", "null"]}},
    "required": ["id", "name"],
}
_PLACE = {
    "type": ["object", "null"],
    "properties": {"service": {"type": "string"}, "environment": {"type": "string"}},
    "required": ["service", "environment"],
}
_PLAN = {
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


class KeyOut(S.Serializer):  # type: ignore[type-arg]
    """A managed key; its secrets are its versions, and none of them is ever shown here."""

    id = S.UUIDField()
    number = S.CharField(source="__str__")
    name = S.CharField()
    owner_team = S.CharField(source="owner_team.slug")
    recipient = PersonOrNobody()
    consumer = S.CharField()
    service = S.CharField(source="service.slug")
    environment = S.CharField(source="environment.tag")
    origin = S.CharField()
    kind = S.CharField()
    public_key = S.CharField()
    scopes = S.ListField(child=S.CharField())
    networks = S.ListField(child=S.CharField())
    limits = S.DictField(child=S.IntegerField())
    rotation = S.SerializerMethodField()
    self_fetch = S.BooleanField()
    cryptoperiod_days = S.IntegerField()
    authorised_until = S.DateTimeField()
    verifies = S.SerializerMethodField()
    request = S.UUIDField(source="request_id", allow_null=True)
    created_at = S.DateTimeField()
    revoked_at = S.DateTimeField(allow_null=True)
    revoked_reason = S.CharField()

    @extend_schema_field(_PLAN)
    def get_rotation(self, row: ManagedKey) -> dict[str, Any]:
        """Say how its secrets are replaced."""
        return plan_in(row.rotation).as_json()

    @extend_schema_field(_PLACE)
    def get_verifies(self, row: ManagedKey) -> dict[str, str] | None:
        """Name the one service and environment that this key may ask about."""
        if row.verifies_service is None or row.verifies_environment is None:
            return None
        return {"service": row.verifies_service.slug, "environment": row.verifies_environment.tag}


class VersionOut(S.Serializer):  # type: ignore[type-arg]
    """One version of a key: all about its secret but the secret."""

    id = S.UUIDField()
    sequence = S.IntegerField()
    kid = S.CharField()
    public_key = S.CharField()
    last4 = S.CharField()
    state = S.CharField()
    created_at = S.DateTimeField()
    claim_until = S.DateTimeField()
    claimed_at = S.DateTimeField(allow_null=True)
    activated_at = S.DateTimeField(allow_null=True)
    expires_at = S.DateTimeField(allow_null=True)
    retire_at = S.DateTimeField(allow_null=True)
    suspended_at = S.DateTimeField(allow_null=True)
    suspended_reason = S.CharField()
    ended_at = S.DateTimeField(allow_null=True)
    ended_reason = S.CharField()


class UsageOut(S.Serializer):  # type: ignore[type-arg]
    """How often a version was asked about within one hour, and with which outcome."""

    kid = S.CharField(source="version.kid")
    outcome = S.CharField()
    hour = S.DateTimeField()
    count = S.IntegerField()
    last_at = S.DateTimeField()


class SightingOut(S.Serializer):  # type: ignore[type-arg]
    """Who presented a version."""

    kid = S.CharField(source="version.kid")
    address = S.CharField(allow_null=True)
    user_agent = S.CharField()
    instance = S.CharField()
    first_at = S.DateTimeField()
    last_at = S.DateTimeField()
    count = S.IntegerField()


class VerifierWordOut(S.Serializer):  # type: ignore[type-arg]
    """What is known of one verifier: it acknowledged a stop, its lease ran out, or it had stopped."""

    verifier = S.CharField()
    name = S.CharField()
    how = S.CharField()
    at = S.CharField()


class StopReceiptOut(S.Serializer):  # type: ignore[type-arg]
    """That a stop was everywhere when it was answered. `used_after`: accepted after the answer, so reinstated or replaced since."""

    action = S.CharField(source="receipt.action")
    committed_at = S.DateTimeField(source="receipt.committed_at")
    answered_at = S.DateTimeField(source="receipt.answered_at")
    verifiers = VerifierWordOut(source="receipt.verifiers", many=True)
    last_used_at = S.DateTimeField(allow_null=True)
    used_after = S.BooleanField(source="is_used_after")


class StopReceiptsOut(S.Serializer):  # type: ignore[type-arg]
    """The receipts of a key, the latest first."""

    receipts = StopReceiptOut(many=True)


class KeyDetailOut(KeyOut):
    """A key with its versions, newest first."""

    versions = VersionOut(many=True, source="versions.all")


class KeyUseOut(S.Serializer):  # type: ignore[type-arg]
    """What a key was used for in the last 31 days, and by whom it was ever presented."""

    usage = UsageOut(many=True)
    sightings = SightingOut(many=True)


class ClaimOut(S.Serializer):  # type: ignore[type-arg]
    """The secret, shown this once and never again, by no door and to nobody; null for a key pair, which has none."""

    version = VersionOut()
    secret = S.CharField(allow_null=True)


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


def version_shown(version: KeyVersion) -> dict[str, Any]:
    """A version as its own answer shows it."""
    return dict(VersionOut(version).data)
