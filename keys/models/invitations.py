"""Store invitations and password resets: one-time links, of which only a hash is kept once they were made."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import Q

from audit.actor import Actor
from audit.governed import governed
from keys.models.base import Row, one_of
from keys.models.people import Person
from keys.models.reach import reach_of
from keys.states import InvitationPurpose


class InvitationQuerySet(models.QuerySet["Invitation"]):
    """Find invitations."""

    def visible_to(self, actor: Actor | None) -> InvitationQuerySet:
        return self if reach_of(actor).everything else self.none()

    def unused(self) -> InvitationQuerySet:
        return self.filter(accepted_at=None, revoked_at=None)

    def open(self, at: datetime) -> InvitationQuerySet:
        return self.unused().filter(expires_at__gt=at, person__is_active=True)


@governed(
    "invitation",
    excluded={
        "link_hash": "the hash of a link that is made when it is shown or sent",
        "link_made_at": "told by invitation.link-made",
    },
)
class Invitation(Row):
    """A place to be taken once: to join, to enrol new factors, or to recover the last administrator."""

    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="invitations")
    purpose = models.CharField(max_length=10)
    invited_by = models.ForeignKey(Person, on_delete=models.PROTECT, null=True, related_name="+")
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    link_hash = models.CharField(max_length=200, blank=True, default="")
    link_made_at = models.DateTimeField(null=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "id")
        constraints: ClassVar = [
            models.CheckConstraint(condition=one_of("purpose", InvitationPurpose), name="invitation_purpose_known"),
            models.UniqueConstraint(
                "person", condition=Q(accepted_at=None, revoked_at=None), name="invitation_one_unused"
            ),
            models.UniqueConstraint("link_hash", condition=~Q(link_hash=""), name="invitation_link_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.purpose}: {self.person}"


class PasswordReset(Row):
    """A wish for a new password. The link is made when it is sent; it never signs in and touches no factor."""

    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="+")
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    link_hash = models.CharField(max_length=200, blank=True, default="")
    link_made_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-created_at", "id")
        constraints: ClassVar = [
            models.UniqueConstraint("link_hash", condition=~Q(link_hash=""), name="password_reset_link_unique"),
        ]

    def __str__(self) -> str:
        return str(self.pk)
