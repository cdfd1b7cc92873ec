"""Let administrators hand over invitations, and decide as second ones whether lost factors go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib import admin
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actor import Actor
from keys.admin.acts import Act, Shown, Words
from keys.admin.cells import badge
from keys.admin.pages import OperationAdmin
from keys.admin.people import PEOPLE
from keys.models import FactorReset, Invitation
from keys.people.invitations import make_invitation_link, revoke_invitation
from keys.people.resets import confirm_factor_reset, decline_factor_reset


class ConfirmReset(Act[FactorReset]):
    """Take lost factors away, as the second administrator."""

    name, label, icon, tone = "confirm", gettext_lazy("Confirm the reset"), "circle-check", "danger"
    purpose, done = "people", gettext_lazy("The factors are gone; an invitation to enrol new ones was made.")

    def is_offered(self, row: FactorReset) -> bool:
        """While it waits."""
        return row.decided_at is None

    def consequences(self, rows: Sequence[FactorReset]) -> list[Words]:
        """What follows."""
        return [
            _("All passkeys, authenticators, recovery codes and sessions of this person end now."),
            _("The password stays; the person is told and enrols new factors by a mailed link."),
        ]

    def phrase(self, rows: Sequence[FactorReset]) -> str:
        """The address."""
        return rows[0].person.email if rows else ""

    def run(
        self, row: FactorReset | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor
    ) -> models.Model | None:
        """Call the operation."""
        assert row is not None
        confirm_factor_reset(row, actor=actor)
        return row


class DeclineReset(Act[FactorReset]):
    """Leave the factors as they are."""

    name, label, icon = "decline", gettext_lazy("Decline"), "circle-x"
    purpose, done = "people", gettext_lazy("Declined; the factors stay.")
    is_offered = ConfirmReset.is_offered

    def run(
        self, row: FactorReset | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor
    ) -> models.Model | None:
        """Call the operation."""
        assert row is not None
        decline_factor_reset(row, actor=actor)
        return row


class ShowLink(Act[Invitation]):
    """Make the link of an invitation and show it once, for whoever cannot get mail."""

    name, label, icon = "link", gettext_lazy("Show the link"), "link"
    purpose, done = "people", gettext_lazy("The link was made.")

    def is_offered(self, row: Invitation) -> bool:
        """While the place waits to be taken."""
        return row.accepted_at is None and row.revoked_at is None

    def consequences(self, rows: Sequence[Invitation]) -> list[Words]:
        """What follows."""
        return [
            _("A new link is made and shown once; a link that was mailed before is void."),
            _("Whoever has the link takes this person's place. Hand it over in person."),
        ]

    def run(self, row: Invitation | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> Shown:
        """Call the operation."""
        assert row is not None
        secret = make_invitation_link(row, actor=actor)
        return Shown(row, secret, _("Invitation link for %(name)s") % {"name": row.person}, _("It works once."))


class RevokeInvitation(Act[Invitation]):
    """End an unused invitation."""

    name, label, icon, tone = "revoke", gettext_lazy("Revoke"), "octagon-x", "danger"
    purpose, done = "people", gettext_lazy("The invitation is void.")
    is_offered = ShowLink.is_offered

    def run(self, row: Invitation | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        assert row is not None
        revoke_invitation(row, actor=actor)
        return row.person


@admin.register(Invitation)
class InvitationAdmin(OperationAdmin[Invitation]):
    """Places that wait to be taken."""

    group, target_type = PEOPLE, "invitation"
    many = gettext_lazy("Invitations")
    acts = (ShowLink(), RevokeInvitation())
    shown = ("person", "purpose", "invited_by", "created_at", "expires_at", "accepted_at", "revoked_at")
    list_display = ("person", "purpose", "invited_by", "created_at", "expires_at", "state_shown")
    list_select_related = ("person", "invited_by")
    list_filter = ("purpose",)
    search_fields = ("person__name", "person__email")
    date_hierarchy = "created_at"

    def get_queryset(self, request: Any) -> models.QuerySet[Invitation]:
        """With the time, for the state in the list."""
        return super().get_queryset(request).annotate(read_at=Now())

    @admin.display(description=gettext_lazy("state"))
    def state_shown(self, row: Any) -> object:
        """Waiting, taken, over."""
        if row.accepted_at:
            return badge("success", _("Taken"))
        if row.revoked_at or row.expires_at <= row.read_at:
            return badge("neutral", _("Over"))
        return badge("info", _("Waiting"))


@admin.register(FactorReset)
class FactorResetAdmin(OperationAdmin[FactorReset]):
    """Proposals to take lost factors away."""

    group, target_type = PEOPLE, "factor-reset"
    many = gettext_lazy("Factor resets")
    acts = (ConfirmReset(), DeclineReset())
    shown = (
        "person",
        "proposed_by",
        "reason",
        "created_at",
        "lapses_at",
        "decided_by",
        "decided_at",
        "is_confirmed",
    )
    list_display = ("person", "proposed_by", "created_at", "lapses_at", "decided_by", "is_confirmed")
    list_select_related = ("person", "proposed_by", "decided_by")
    list_filter = ("is_confirmed",)
    search_fields = ("person__name", "person__email")
    date_hierarchy = "created_at"

    def remark(self, row: FactorReset) -> str:
        """Say who has to decide."""
        if row.decided_at is not None:
            return ""
        return _("A second administrator decides: neither %(proposer)s nor %(person)s.") % {
            "proposer": row.proposed_by,
            "person": row.person,
        }
