"""Store requests for keys, and what approvers decided about exactly which content."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from django.db import models
from django.db.models import Q

from audit.actor import Actor
from audit.governed import governed
from keys.models.base import Row, one_of
from keys.models.catalogue import Environment, Service
from keys.models.people import Membership, Person, Team
from keys.models.policies import Policy
from keys.models.reach import reach_of
from keys.states import OPEN_REQUEST_STATES, RequestState


class KeyRequestQuerySet(models.QuerySet["KeyRequest"]):
    """Ways to find requests."""

    def visible_to(self, actor: Actor | None) -> KeyRequestQuerySet:
        """The requester, the future owners, the service's team, and whoever the policy asks to approve."""
        reach = reach_of(actor)
        if reach.everything:
            return self
        if reach.environment_id is not None:
            return self.filter(owner_team_id__in=reach.team_ids, environment_id=reach.environment_id)
        if reach.person_id is None:  # never compare a missing person with a missing person
            return self.none()
        seats = Q(service__owner_team__memberships__in=_living_approvers(reach.seats)) | Q(
            policy__approver_team__memberships__in=_living_approvers(reach.seats)
        )
        mine = (
            Q(requester_id=reach.person_id)
            | Q(owner_team_id__in=reach.team_ids)
            | Q(service__owner_team_id__in=reach.team_ids)
        )
        return self.filter(pk__in=KeyRequest.objects.filter(mine | seats).values("pk"))

    def open(self, at: datetime) -> KeyRequestQuerySet:
        """Open and not lapsed: the clock ends a request even if no worker runs."""
        return self.filter(state__in=OPEN_REQUEST_STATES, lapses_at__gt=at)

    def pending(self, at: datetime) -> KeyRequestQuerySet:
        return self.filter(state=RequestState.PENDING, lapses_at__gt=at)

    def lapsed_by(self, at: datetime) -> KeyRequestQuerySet:
        return self.filter(state__in=OPEN_REQUEST_STATES, lapses_at__lte=at)

    def awaiting(self, person: UUID, seats: Collection[UUID], at: datetime) -> KeyRequestQuerySet:
        """What a person may still decide for one of `seats` (their own, or a colleague's as delegate)."""
        approver = Q(service__owner_team__memberships__in=_living_approvers(seats)) | Q(
            policy__approver_team__memberships__in=_living_approvers(seats)
        )
        decided = Approval.objects.filter(voided_at=None, person_id=person, seat_id__in=seats).values("request_id")
        return (
            self.pending(at)
            .filter(pk__in=KeyRequest.objects.filter(approver).values("pk"))
            .exclude(requester_id=person)
            .exclude(recipient_id=person)
            .exclude(last_editor_id=person)
            .exclude(requested_by_key__recipient_id=person)
            .exclude(requested_by_key__versions__claimed_by_id=person)
            .exclude(pk__in=decided)
        )


def _living_approvers(seats: Collection[UUID]) -> models.QuerySet[Membership]:
    return Membership.objects.living().filter(person_id__in=seats, roles__contains=["approver"])


@governed(
    "request",
    private=("purpose", "purpose_salt", "question"),
    excluded={"nudged_at": "a courtesy, told by request.nudged"},
)
class KeyRequest(Row):
    """A wish for a key. `content` is the canonical request (keys.approvals.content); `digest` its SHA-256 in hex."""

    number = models.BigIntegerField(unique=True)
    state = models.CharField(max_length=10, default=str(RequestState.PENDING))
    requester = models.ForeignKey(Person, on_delete=models.PROTECT, null=True, related_name="requests")
    requested_by_key = models.ForeignKey(
        "keys.ManagedKey", on_delete=models.PROTECT, null=True, related_name="requests_made"
    )
    recipient = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="requests_to_receive")
    last_editor = models.ForeignKey(Person, on_delete=models.PROTECT, null=True, related_name="+")
    owner_team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="requests")
    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="requests")
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="requests")
    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="requests")
    renews = models.ForeignKey("keys.ManagedKey", on_delete=models.PROTECT, null=True, related_name="renewals")
    content = models.JSONField()
    digest = models.CharField(max_length=64)
    revision = models.PositiveIntegerField(default=1)
    purpose = models.TextField()
    purpose_salt = models.CharField(max_length=64)
    question = models.TextField(blank=True, default="")
    lapses_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True)
    nudged_at = models.DateTimeField(null=True)

    objects = KeyRequestQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-id")
        constraints: ClassVar = [
            models.CheckConstraint(condition=one_of("state", RequestState), name="request_state_known"),
            models.CheckConstraint(
                condition=Q(requester__isnull=False) | Q(requested_by_key__isnull=False), name="request_by_someone"
            ),
        ]
        indexes: ClassVar = [
            models.Index("created_at", "id", name="request_page"),
            models.Index("lapses_at", condition=Q(state__in=["pending", "returned"]), name="request_lapsing"),
        ]

    def __str__(self) -> str:
        return f"REQ-{self.number}"


class ApprovalQuerySet(models.QuerySet["Approval"]):
    """Ways to find decisions."""

    def visible_to(self, actor: Actor | None) -> ApprovalQuerySet:
        return self.filter(request__in=KeyRequest.objects.visible_to(actor).values("pk"))

    def standing(self) -> ApprovalQuerySet:
        return self.filter(voided_at=None)

    def of_key(self, key_id: UUID) -> ApprovalQuerySet:
        """Those about the request that a key came from, and about prolonging it."""
        return self.filter(Q(request__keys=key_id) | Q(request__renews=key_id))

    def given_by(self, person: Person) -> ApprovalQuerySet:
        """Those that rest on a person: their own, and those that a delegate gave from their place."""
        return self.filter(Q(person=person) | Q(seat=person))


@governed("approval", private=("comment",))
class Approval(Row):
    """One person's decision about the content with this digest; `seat` is whose authority they used.

    `method`: a passkey that signed the statement; a passkey's presence alone, or a one-time code, which are weaker.
    """

    request = models.ForeignKey(KeyRequest, on_delete=models.PROTECT, related_name="approvals")
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="decisions")
    seat = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    decision = models.CharField(max_length=8)
    digest = models.CharField(max_length=64)
    on_service_side = models.BooleanField()
    comment = models.TextField(blank=True, default="")
    method = models.CharField(max_length=10)
    statement = models.TextField(blank=True, default="")
    assertion = models.JSONField(null=True)
    voided_at = models.DateTimeField(null=True)

    objects = ApprovalQuerySet.as_manager()

    class Meta:
        ordering = ("created_at", "id")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(decision__in=["approve", "narrow", "deny", "return"]), name="approval_decision_known"
            ),
            models.CheckConstraint(
                condition=Q(method__in=["passkey", "presence", "totp"]), name="approval_method_known"
            ),
            models.UniqueConstraint("request", "person", condition=Q(voided_at=None), name="approval_once_a_person"),
            models.UniqueConstraint("request", "seat", condition=Q(voided_at=None), name="approval_once_a_seat"),
        ]

    def __str__(self) -> str:
        return f"{self.person}: {self.decision}"


class ApprovalStatement(models.Model):
    """A canonical statement waiting for a passkey's signature: single use, short-lived, worth nothing afterwards."""

    nonce = models.CharField(max_length=64, primary_key=True)
    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="+")
    request = models.ForeignKey(KeyRequest, on_delete=models.CASCADE, related_name="+")
    text = models.TextField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.nonce
