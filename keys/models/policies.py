"""Store the rules of a service in an environment, version by version, and proposals that wait for a second administrator."""

from __future__ import annotations

from typing import ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from audit.actor import Actor
from audit.governed import governed
from keys.models.base import Row
from keys.models.catalogue import CatalogueQuerySet, Environment, Service
from keys.models.people import Person, Team
from keys.models.reach import reach_of


class PolicyQuerySet(CatalogueQuerySet["Policy"]):
    """Ways to find policies."""

    def current(self) -> Self:
        """The highest version of each service and environment is the one in force."""
        newest = Policy.objects.filter(service=models.OuterRef("service"), environment=models.OuterRef("environment"))
        return self.filter(version=models.Subquery(newest.order_by("-version").values("version")[:1]))


@governed("policy")
class Policy(Row):
    """One version of the rules; never changed, only followed by the next version."""

    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="policies")
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="policies")
    version = models.PositiveIntegerField()
    approvals_required = models.PositiveSmallIntegerField()
    service_approvals_required = models.PositiveSmallIntegerField()
    approver_team = models.ForeignKey(Team, on_delete=models.PROTECT, null=True, blank=True, related_name="approves")
    max_cryptoperiod_days = models.PositiveIntegerField()
    max_authorised_days = models.PositiveIntegerField()
    networks_required = models.BooleanField(default=False)
    ticket_pattern = models.CharField(max_length=120, blank=True, default="")
    kinds = ArrayField(models.CharField(max_length=12))
    self_fetch_allowed = models.BooleanField(default=False)
    lapse_days = models.PositiveSmallIntegerField(default=7)
    claim_hours = models.PositiveSmallIntegerField(default=72)
    # Rotation: how long two versions may verify, whether the old one ends though nobody took the new one, whether it is
    # refused for seconds before its end, and after how many days without use a key is proposed for revocation.
    longest_overlap_hours = models.PositiveSmallIntegerField(default=14 * 24)
    deadline_wins = models.BooleanField(default=False)
    brownouts = models.BooleanField(default=False)
    unused_days = models.PositiveSmallIntegerField(default=90)
    # Signed requests: whether a bearer token is never enough, or not for some scopes, and how old a signature may be.
    signature_required = models.BooleanField(default=False)
    signed_scopes = ArrayField(models.CharField(max_length=80), default=list, blank=True)
    signature_window_seconds = models.PositiveSmallIntegerField(default=60)

    objects = PolicyQuerySet.as_manager()

    class Meta:
        ordering = ("service__slug", "environment__tag", "-version")
        verbose_name_plural = "policies"
        constraints: ClassVar = [
            models.UniqueConstraint("service", "environment", "version", name="policy_version_once"),
            models.CheckConstraint(
                condition=Q(service_approvals_required__lte=F("approvals_required")), name="policy_service_part_of_all"
            ),
            models.CheckConstraint(
                condition=Q(
                    max_cryptoperiod_days__gte=1, max_authorised_days__gte=1, lapse_days__gte=1, claim_hours__gte=1
                ),
                name="policy_spans_positive",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.service} · {self.environment} · v{self.version}"


class PolicyProposalQuerySet(models.QuerySet["PolicyProposal"]):
    """Ways to find proposals."""

    def visible_to(self, actor: Actor | None) -> PolicyProposalQuerySet:
        return self if reach_of(actor).everything else self.none()

    def waiting(self) -> PolicyProposalQuerySet:
        return self.filter(decided_at=None)


@governed("policy-proposal")
class PolicyProposal(Row):
    """A policy that would weaken production, until a second administrator decides."""

    service = models.ForeignKey(Service, on_delete=models.PROTECT)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT)
    base_version = models.PositiveIntegerField()
    rules = models.JSONField()
    weakened = ArrayField(models.CharField(max_length=40))
    proposed_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    decided_by = models.ForeignKey(Person, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=10, blank=True, default="")

    objects = PolicyProposalQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "id")
        constraints: ClassVar = [
            models.UniqueConstraint("service", "environment", condition=Q(decided_at=None), name="proposal_one_open"),
            models.CheckConstraint(condition=Q(outcome__in=["", "accepted", "refused"]), name="proposal_outcome_known"),
            models.CheckConstraint(
                condition=Q(decided_by=None) | ~Q(decided_by=F("proposed_by")) | Q(outcome="refused"),
                name="proposal_accepted_by_another",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.service} · {self.environment}"
