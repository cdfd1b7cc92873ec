"""Stop many keys, or have their secrets replaced, by one act: the list first, then its digest, then the receipt."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit import clock
from keys.errors import Denied, NotFound
from keys.lifecycle.emergency import Measure, execute_emergency
from keys.lifecycle.emergency_lists import MOST_KEYS, EmergencyFilter, list_keys
from keys.lifecycle.emergency_receipts import read_receipt
from keys.operations import record_denial
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.rules import may_act_on_many
from keys.states import RevocationReason
from keys.verification.watching.receipts import stop_listed
from portal.api.doors import Door, offered
from portal.api.fields import Body, Identifier, Text, WholeNumber, YesNo
from portal.api.parameters import read_uuid

YES = "administrator responder"


class EmergencyListBody(Body):
    """Which keys: all that is given must fit."""

    team = Text(max_length=40, required=False, default="", allow_blank=True)
    service = Text(max_length=40, required=False, default="", allow_blank=True)
    environment = serializers.ChoiceField(choices=["dev", "test", "prod"], required=False, default="")
    recipient = Identifier(required=False, allow_null=True, default=None)
    leaked = YesNo(required=False, default=False)
    numbers = serializers.ListField(
        child=WholeNumber(min_value=1, max_value=2**53 - 1), max_length=MOST_KEYS, required=False, default=list
    )


class EmergencyBody(EmergencyListBody):
    """The choice again, the list that it gave, and what happens to it."""

    listed = serializers.ListField(
        child=WholeNumber(min_value=1, max_value=2**53 - 1), min_length=1, max_length=MOST_KEYS
    )
    digest = serializers.RegexField(r"^[0-9a-f]{64}$")
    measure = serializers.ChoiceField(choices=[str(each) for each in Measure])
    reason = serializers.ChoiceField(
        choices=[str(each) for each in RevocationReason], required=False, default=str(RevocationReason.KEY_COMPROMISE)
    )


class EmergencyListOut(serializers.Serializer):  # type: ignore[type-arg]  # DRF's Serializer is generic in the stubs only
    """The frozen list."""

    listed = serializers.ListField(child=serializers.IntegerField())
    digest = serializers.CharField()
    matching = serializers.IntegerField(help_text="How many fit; an act takes the first 2,000.")
    production = serializers.IntegerField()
    verifying = serializers.IntegerField(help_text="Keys with which services verify others.")
    already_ended = serializers.IntegerField()


class EmergencyLineOut(serializers.Serializer):  # type: ignore[type-arg]
    """What became of one key: stopped, rotating, or the reason why it was left as it was."""

    number = serializers.IntegerField()
    id = serializers.UUIDField()
    name = serializers.CharField()
    outcome = serializers.CharField()


class EmergencyOut(serializers.Serializer):  # type: ignore[type-arg]
    """The receipt."""

    emergency = serializers.UUIDField()
    event = serializers.UUIDField()
    at = serializers.DateTimeField()
    by = serializers.CharField()
    measure = serializers.CharField()
    reason = serializers.CharField()
    searched = serializers.DictField(child=serializers.CharField())
    digest = serializers.CharField()
    listed = serializers.IntegerField()
    stopped = serializers.IntegerField()
    rotating = serializers.IntegerField()
    already_ended = serializers.IntegerField()
    not_rotated = serializers.IntegerField()
    appeared = serializers.IntegerField()
    keys = EmergencyLineOut(many=True)


def _wanted(body: dict[str, Any]) -> EmergencyFilter:
    names = ("team", "service", "environment", "recipient", "leaked")
    return EmergencyFilter(numbers=tuple(body["numbers"]), **{name: body[name] for name in names})


class EmergencyPreview(Door):
    """Look first."""

    @offered("emergencies_preview", takes=EmergencyListBody, gives=EmergencyListOut, yes=YES, tag="emergencies")
    def post(self, request: Request) -> Response:
        """List the keys that an act would concern. Nothing changes. People only, with a step-up for `revoke`."""
        at = clock.now()
        try:
            enforce(may_act_on_many(self.actor, standing_of(self.actor, at=at), at=at))
        except Denied as denied:  # as the act would be; on record like every refusal
            record_denial(denied, operation="execute_emergency", subject=None, actor=self.actor)
            raise
        found = list_keys(_wanted(self.read(EmergencyListBody)), actor=self.actor)
        return Response(
            {
                "listed": found.numbers,
                "digest": found.digest,
                "matching": found.matching,
                "production": found.production,
                "verifying": found.verifying,
                "already_ended": found.already_ended,
            }
        )


class Emergencies(Door):
    """Act."""

    @offered(
        "emergencies_execute", takes=EmergencyBody, gives=EmergencyOut, status=201, yes=YES, tag="emergencies"
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Stop every key of the list, or have all their secrets replaced, in one transaction. People only, with a step-up.

        What fits only since the list was made is named in the answer and not touched.
        """
        body = self.read(EmergencyBody)
        act = execute_emergency(
            _wanted(body),
            numbers=body["listed"],
            digest=body["digest"],
            measure=Measure(body["measure"]),
            reason=RevocationReason(body["reason"]),
            actor=self.actor,
        )
        stop_listed(body["listed"])
        return Response(read_receipt(act, actor=self.actor).as_json(), status=201)


class OneEmergency(Door):
    """The receipt."""

    @offered(
        "emergencies_retrieve", gives=EmergencyOut, yes=f"{YES} auditor", hidden="developer approver stranger",
        tag="emergencies",
    )  # fmt: skip
    def get(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Show what became of each key."""
        try:
            act = read_uuid(id)
        except ValueError as odd:
            raise NotFound from odd
        return Response(read_receipt(act, actor=self.actor).as_json())
