"""Show replacements of secrets; start, undo and stop them, take a fetched one back, and move the end of an old version."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from keys.errors import Invalid
from keys.lifecycle.leaving import name_recipient
from keys.lifecycle.rotation import (
    abort_rotation,
    override_retirement,
    start_rotation,
    take_back_rotation,
    undo_rotation,
)
from keys.models import Person, Rotation
from keys.states import Overlap, RotationState
from portal.api.catalogue import TAGS
from portal.api.doors import Door, found, offered
from portal.api.fields import Body, Identifier, Moment, Nothing, YesNo
from portal.api.key_outputs import KeyDetailOut
from portal.api.managed_keys import KeyDoor
from portal.api.outputs import page_of
from portal.api.parameters import PAGING, choice, identifier, moment, slug

READ = ("keys:read",)
SEEN_BY = "developer approver administrator responder auditor"
ROTATES = "developer administrator responder"
ROTATIONS = (
    *PAGING,
    choice("state", "state", tuple(RotationState), "Only those that are this far."),
    identifier("key", "managed_key_id", "Only of this key."),
    choice("environment", "managed_key__environment__tag", TAGS, "Only in this environment."),
    slug("owner_team", "managed_key__owner_team__slug", "Only of keys of this team."),
    moment("due_from", "due_at__gte", "Only due from this time on."),
    moment("due_before", "due_at__lt", "Only due before this time."),
)


class StartBody(Body):
    """How long the old secret works on after the new one is taken; without it, what was approved with the key."""

    overlap = serializers.ChoiceField(choices=[str(each) for each in Overlap], required=False, default=None)


class RetirementBody(Body):
    """When the old version ends."""

    retire_at = Moment()


class RecipientBody(Body):
    """Who claims the key's next secrets; `rotate`: the next one waits at once, because the one before knows the present one."""

    recipient = Identifier()
    rotate = YesNo(required=False, default=False)


class RotatedVersionOut(serializers.Serializer):  # type: ignore[type-arg]
    """One of the two versions of a rotation."""

    id = serializers.UUIDField()
    sequence = serializers.IntegerField()
    kid = serializers.CharField()
    state = serializers.CharField()
    claim_until = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    retire_at = serializers.DateTimeField(allow_null=True)


class RotationOut(serializers.Serializer):  # type: ignore[type-arg]
    """One replacement of a key's secret: how far it is and why, and the versions that it is about."""

    id = serializers.UUIDField()
    key = serializers.UUIDField(source="managed_key_id")
    number = serializers.CharField(source="managed_key.__str__")
    state = serializers.CharField()
    cause = serializers.CharField()
    overlap = serializers.CharField()
    due_at = serializers.DateTimeField()
    old_version = RotatedVersionOut(allow_null=True)
    new_version = RotatedVersionOut(allow_null=True)
    created_at = serializers.DateTimeField()
    prepared_at = serializers.DateTimeField(allow_null=True)
    handed_over_at = serializers.DateTimeField(allow_null=True)
    activated_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    ended_reason = serializers.CharField()


RotationPage = page_of(RotationOut)


class RotationDoor(Door):
    """Find a rotation among those of the keys that the actor may see."""

    def rows(self) -> Any:  # Any: a queryset of rotations
        """All that may be seen."""
        return Rotation.objects.visible_to(self.actor).select_related("managed_key", "old_version", "new_version")

    def row(self, text: str) -> Any:  # Any: see `found`
        """Return the rotation."""
        return found(self.rows(), text)

    def shown(self, row: Rotation, *, status: int = 200) -> Response:
        """Answer with the rotation as it is now."""
        return self.show(RotationOut, self.rows().get(pk=row.pk), status=status)


class Rotations(RotationDoor):
    """All rotations."""

    @offered(
        "rotations_list", gives=RotationPage, scopes=READ, yes=f"{SEEN_BY} program stranger", reads=ROTATIONS,
        tag="rotations",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """List the rotations of the keys that you may see, by when they were scheduled or begun."""
        return self.page(RotationOut, self.rows(), ROTATIONS)


class OneRotation(RotationDoor):
    """One rotation."""

    @offered(
        "rotations_retrieve", gives=RotationOut, scopes=READ, yes=f"{SEEN_BY} program", hidden="stranger",
        tag="rotations",
    )  # fmt: skip
    def get(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Show a rotation with its two versions."""
        return self.shown(self.row(id))


class Start(KeyDoor):
    """Replace a secret without an outage."""

    @offered(
        "keys_rotate", takes=StartBody, gives=RotationOut, status=201, yes=ROTATES, hidden="stranger", tag="rotations",
    )  # fmt: skip
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Let the next version wait for its claim, or its client; the present one works on. People only, step-up `claim`."""
        row, body = self.row(id), self.read(StartBody)
        overlap = Overlap(body["overlap"]) if body["overlap"] else None
        return self.show(RotationOut, start_rotation(row, overlap=overlap, actor=self.actor), status=201)


class Undo(RotationDoor):
    """Undo."""

    @offered("rotations_undo", takes=Nothing, gives=RotationOut, yes=ROTATES, hidden="stranger", tag="rotations")
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Let the old version live on and end the new one, while the old one works. People only, step-up `claim`."""
        row = self.row(id)
        self.read(Nothing)
        return self.shown(undo_rotation(row, actor=self.actor))


class Stop(RotationDoor):
    """Stop."""

    @offered("rotations_abort", takes=Nothing, gives=RotationOut, yes=ROTATES, hidden="stranger", tag="rotations")
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """End the version that waits, before it works; the rotation comes back after a day. People only, step-up `claim`.

        Of the causes `leaver` and `compromise`: leads, responders and administrators, none of whom was shown the old secret.
        """
        row = self.row(id)
        self.read(Nothing)
        return self.shown(abort_rotation(row, actor=self.actor))


class TakingBack(RotationDoor):
    """Take back."""

    @offered("rotations_take_back", takes=Nothing, gives=RotationOut, yes=ROTATES, hidden="stranger", tag="rotations")
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """End the secret that the client fetched and has not activated; another waits. People only, step-up `claim`."""
        row = self.row(id)
        self.read(Nothing)
        return self.shown(take_back_rotation(row, actor=self.actor))


class Retirement(RotationDoor):
    """Move the end."""

    @offered(
        "rotations_retire", takes=RetirementBody, gives=RotationOut, yes="administrator", hidden="stranger",
        tag="rotations",
    )  # fmt: skip
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Move the end of the old version, sooner or later; never beyond its own. Administrators, step-up `revoke`."""
        row, body = self.row(id), self.read(RetirementBody)
        return self.shown(override_retirement(row, retire_at=body["retire_at"], actor=self.actor))


class Recipient(KeyDoor):
    """Name who receives."""

    @offered(
        "keys_name_recipient", takes=RecipientBody, gives=KeyDetailOut, yes="developer administrator",
        hidden="stranger", tag="keys",
    )  # fmt: skip
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Let another member of the owner team claim the next secrets. People only, with a step-up for `handover`."""
        row, body = self.row(id), self.read(RecipientBody)
        person = Person.objects.visible_to(self.actor).active().filter(pk=body["recipient"]).first()
        if person is None:
            raise Invalid.field("recipient", "not_in_owner_team")
        return self.shown(name_recipient(row, recipient=person, rotate=body["rotate"], actor=self.actor))
