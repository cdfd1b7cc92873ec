"""See the verifiers: who answers from memory, and how far behind it may be. Programs do not: it is no part of any team's keys."""

from __future__ import annotations

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from keys.verification.watching.overview import read_verifiers
from portal.api.doors import Door, offered

S = serializers


class VerifierOut(S.Serializer):  # type: ignore[type-arg]  # DRF's Serializer is generic in the stubs only
    """One verifier, and how far behind it may be."""

    id = S.CharField(source="verifier.pk")
    name = S.CharField(source="verifier.name")
    service = S.CharField(source="verifier.service.slug", allow_null=True, default=None)
    environment = S.CharField(source="verifier.environment.tag", allow_null=True, default=None)
    has_lease = S.BooleanField()
    renewed_at = S.DateTimeField(source="verifier.renewed_at")
    valid_until = S.DateTimeField(source="verifier.valid_until")
    stopped_at = S.DateTimeField(source="verifier.stopped_at", allow_null=True)
    versions = S.IntegerField(source="verifier.entries")
    is_woken = S.BooleanField(source="verifier.hears")


class VerifiersOut(S.Serializer):  # type: ignore[type-arg]
    """All verifiers with a lease, and those whose lease ended within the last hour."""

    verifiers = VerifierOut(many=True)


class Verifiers(Door):
    """All verifiers."""

    @offered(
        "verifiers_list", gives=VerifiersOut, yes="administrator responder auditor", hidden="developer approver stranger",
        tag="verifiers",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Show every verifier with a lease, and those whose lease ended within the last hour."""
        return Response(VerifiersOut({"verifiers": read_verifiers(actor=self.actor)}).data)
