"""Hold ranges of the log for a court or an inquiry, and let go of them by two. People only: no program answers for a case."""

from __future__ import annotations

import re
from typing import Final

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit.models import WITHOUT_END, AuditHold
from keys.errors import NotFound
from keys.retention.holds import HeldSpan, hold_of, lift_hold, list_holds, place_hold
from portal.api.doors import Door, offered
from portal.api.fields import Body, Moment, Nothing, Text, WholeNumber

S = serializers
READS = "administrator auditor"
HIDDEN = "developer approver responder stranger"
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


class HoldBody(Body):
    """What to hold, by times or by leaves, and why; what is left out has no bound."""

    reason = Text(max_length=500)
    since = Moment(required=False, allow_null=True)
    before = Moment(required=False, allow_null=True)
    from_leaf = WholeNumber(required=False, allow_null=True, min_value=0, max_value=WITHOUT_END)
    upto_leaf = WholeNumber(required=False, allow_null=True, min_value=1, max_value=WITHOUT_END)


class HoldOut(S.Serializer):  # type: ignore[type-arg]  # DRF's Serializer is generic in the stubs only
    """A range that is neither pruned nor loses its private parts. `upto_leaf` null: what is still to come is held too."""

    id = S.IntegerField()
    from_leaf = S.IntegerField()
    upto_leaf = S.SerializerMethodField()
    reason = S.CharField()
    placed_at = S.DateTimeField()
    placed_by = S.CharField()
    lifted_at = S.DateTimeField(allow_null=True)
    lifted_by = S.CharField()

    def get_upto_leaf(self, row: AuditHold) -> int | None:
        """Name the first leaf that is not held, if there is one."""
        return None if row.upto_leaf >= WITHOUT_END else row.upto_leaf


class HoldsOut(S.Serializer):  # type: ignore[type-arg]
    """All holds, those in force first."""

    holds = HoldOut(many=True)


class Holds(Door):
    """All holds."""

    @offered("holds_list", gives=HoldsOut, yes=READS, hidden=HIDDEN, tag="log")
    def get(self, request: Request) -> Response:
        """List what is held, and what was, those in force first."""
        return self.show(HoldsOut, {"holds": list_holds(actor=self.actor)})

    @offered("holds_place", takes=HoldBody, gives=HoldOut, status=201, yes=READS, hidden=HIDDEN, tag="log")
    def post(self, request: Request) -> Response:
        """Keep every event of a span, and its private part, until another person lifts the hold. With a step-up for `retention`."""
        body = self.read(HoldBody)
        reason = body.pop("reason")
        return self.show(HoldOut, place_hold(HeldSpan(**body), actor=self.actor, reason=reason), status=201)


class OneHold(Door):
    """One hold."""

    @offered("holds_retrieve", gives=HoldOut, yes=READS, hidden=HIDDEN, tag="log")
    def get(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Show a hold."""
        return self.show(HoldOut, hold_of(_number(id), actor=self.actor))


class Lifting(Door):
    """Let go."""

    @offered("holds_lift", takes=Nothing, gives=HoldOut, yes="administrator", hidden=HIDDEN, tag="log")
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Lift a hold that another person placed. Administrators, with a step-up for `retention`."""
        hold = hold_of(_number(id), actor=self.actor)
        self.read(Nothing)
        return self.show(HoldOut, lift_hold(hold, actor=self.actor))


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise NotFound
    return int(text)
