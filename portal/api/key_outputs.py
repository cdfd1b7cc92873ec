"""Say what operations on keys give: the key, its versions, its use, its receipts, and once the answer to a claim."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from keys.lifecycle.inventory import Standing, line_of
from keys.models import KeyVersion, ManagedKey
from keys.policy.rotation_plan import plan_in
from portal.api.outputs import PLACE, PLAN, PersonOrNobody

S = serializers


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
    standing = S.SerializerMethodField()
    rotation = S.SerializerMethodField()
    self_fetch = S.BooleanField()
    cryptoperiod_days = S.IntegerField()
    authorised_until = S.DateTimeField()
    verifies = S.SerializerMethodField()
    request = S.UUIDField(source="request_id", allow_null=True)
    created_at = S.DateTimeField()
    revoked_at = S.DateTimeField(allow_null=True)
    revoked_reason = S.CharField()

    @extend_schema_field(S.ChoiceField(choices=[each.value for each in Standing]))
    def get_standing(self, row: Any) -> str:  # Any: a key, and the moment that its door adds
        """Say how it stands as a whole, now; how each of its versions does is told with them."""
        return line_of(row, list(row.versions.all()), at=row.read_at).standing.value

    @extend_schema_field(PLAN)
    def get_rotation(self, row: ManagedKey) -> dict[str, Any]:
        """Say how its secrets are replaced."""
        return plan_in(row.rotation).as_json()

    @extend_schema_field(PLACE)
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
    """That a stop was everywhere when it was answered. `used_after`: accepted after the answer, so reinstated or replaced since.

    Programs that verify in their own process tell what they accepted by the minute, as of its beginning.
    """

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


def version_shown(version: KeyVersion) -> dict[str, Any]:
    """A version as its own answer shows it."""
    return dict(VersionOut(version).data)
