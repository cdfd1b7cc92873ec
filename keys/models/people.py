"""Store people, teams, who belongs where, and who stands in for whom."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from audit.actor import Actor
from audit.governed import governed
from keys.models.base import Row, one_of
from keys.models.reach import reach_of
from keys.states import Role, TeamMail, TeamRole


class PersonQuerySet(models.QuerySet["Person"]):
    """Ways to find people."""

    def visible_to(self, actor: Actor | None) -> PersonQuerySet:
        """Colleagues may know each other's names; programs know nobody."""
        return self if reach_of(actor).colleagues else self.none()

    def active(self) -> PersonQuerySet:
        return self.filter(is_active=True)


class People(BaseUserManager["Person"].from_queryset(PersonQuerySet)):  # type: ignore[misc]
    """Django finds people by their canonical e-mail address."""

    def get_by_natural_key(self, username: str | None) -> Person:
        return self.get(email=username)  # type: ignore[no-any-return]


@governed(
    "person",
    private=("email", "name"),
    excluded={"password": "a slow hash, not a fact for the log", "last_login": "told by the sign-in events"},
)
class Person(Row, AbstractBaseUser):
    """Someone who signs in. `email` is canonical: NFKC, case-folded, stripped (keys.text.canonical_email)."""

    email = models.CharField(max_length=254, unique=True)
    name = models.CharField(max_length=120)
    roles = ArrayField(models.CharField(max_length=20), default=list, blank=True)
    is_active = models.BooleanField(default=True)
    deactivated_at = models.DateTimeField(null=True, blank=True)
    erased_at = models.DateTimeField(null=True, blank=True)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["name"]
    objects = People()

    class Meta:
        ordering = ("name", "id")
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(roles__contained_by=[str(r) for r in Role]), name="person_roles_known"),
            models.CheckConstraint(condition=Q(erased_at=None) | Q(is_active=False), name="person_erased_has_no_place"),
        ]

    def __str__(self) -> str:
        return self.name

    # The Django admin asks these three; what an administrator may then do is decided by operations.
    @property
    def is_staff(self) -> bool:
        return self.is_active and Role.ADMINISTRATOR in self.roles

    def has_perm(self, perm: str, obj: object = None) -> bool:
        return self.is_staff

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_staff


class TeamQuerySet(models.QuerySet["Team"]):
    """Ways to find teams."""

    def visible_to(self, actor: Actor | None) -> TeamQuerySet:
        reach = reach_of(actor)
        return self if reach.colleagues else self.filter(pk__in=reach.team_ids)

    def living(self) -> TeamQuerySet:
        return self.filter(retired_at=None)


@governed("team")
class Team(Row):
    """People who own services and keys together."""

    slug = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=120)
    description = models.CharField(max_length=500, blank=True, default="")
    mail_to = models.CharField(max_length=8, default=str(TeamMail.LEADS))
    retired_at = models.DateTimeField(null=True, blank=True)

    objects = TeamQuerySet.as_manager()

    class Meta:
        ordering = ("name", "id")
        constraints: ClassVar = [
            models.CheckConstraint(condition=one_of("mail_to", TeamMail), name="team_mail_known"),
        ]

    def __str__(self) -> str:
        return self.name


class MembershipQuerySet(models.QuerySet["Membership"]):
    """Ways to find memberships."""

    def visible_to(self, actor: Actor | None) -> MembershipQuerySet:
        reach = reach_of(actor)
        return self if reach.colleagues else self.filter(team_id__in=reach.team_ids)

    def living(self) -> MembershipQuerySet:
        return self.filter(ended_at=None, person__is_active=True)


@governed("membership")
class Membership(Row):
    """What one person does in one team, until it ends."""

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="memberships")
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="memberships")
    roles = ArrayField(models.CharField(max_length=20), default=list)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = MembershipQuerySet.as_manager()

    class Meta:
        ordering = ("team__name", "person__name", "id")
        constraints: ClassVar = [
            models.UniqueConstraint("team", "person", condition=Q(ended_at=None), name="membership_one_living"),
            models.CheckConstraint(
                condition=Q(roles__contained_by=[str(r) for r in TeamRole]), name="membership_roles_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.person} · {self.team}"


class DelegationQuerySet(models.QuerySet["Delegation"]):
    """Ways to find delegations."""

    def visible_to(self, actor: Actor | None) -> DelegationQuerySet:
        reach = reach_of(actor)
        if reach.everything:
            return self
        return (
            self.filter(Q(person_id=reach.person_id) | Q(delegate_id=reach.person_id))
            if reach.person_id
            else self.none()
        )

    def in_force(self, at: datetime) -> DelegationQuerySet:
        return self.filter(
            starts_at__lte=at, ends_at__gt=at, ended_at=None, person__is_active=True, delegate__is_active=True
        )


@governed("delegation")
class Delegation(Row):
    """A colleague who decides in someone's place during an absence."""

    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="delegations_given")
    delegate = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="delegations_held")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = DelegationQuerySet.as_manager()

    class Meta:
        ordering = ("-starts_at", "id")
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(ends_at__gt=models.F("starts_at")), name="delegation_has_a_span"),
            models.CheckConstraint(condition=~Q(person=models.F("delegate")), name="delegation_to_another"),
        ]

    def __str__(self) -> str:
        return f"{self.delegate} for {self.person}"
