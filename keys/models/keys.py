"""Store managed keys, their versions, and their passing from one team to another."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Final

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Case, F, Q, When
from django.db.models.functions import Least

from audit.actor import Actor
from audit.governed import governed
from keys.models.base import Row, one_of
from keys.models.catalogue import Environment, Service
from keys.models.people import Person, Team
from keys.models.policies import Policy
from keys.models.reach import reach_of
from keys.states import CHOSEN_SUSPENSIONS, LIVING_VERSION_STATES, KeyKind, Origin, RevocationReason, VersionState

_LIVING: Final = [str(each) for each in LIVING_VERSION_STATES]
# When the clock ends a version whose state lives: an index holds it, so that a sweep of a million finds the few that are over.
ENDS_AT: Final = Case(
    When(Q(activated_at=None), then=F("claim_until")),
    default=Least(F("expires_at"), F("retire_at")),
)
SUSPENDED_BY_LENGTH = 400  # the ids of all who stopped it, since none of them lifts it alone


class ManagedKeyQuerySet(models.QuerySet["ManagedKey"]):
    """Ways to find keys."""

    def visible_to(self, actor: Actor | None) -> ManagedKeyQuerySet:
        """The owners, the team whose service the key opens, and those who answer for the whole."""
        reach = reach_of(actor)
        if reach.everything:
            return self
        if reach.environment_id is not None:
            return self.filter(owner_team_id__in=reach.team_ids, environment_id=reach.environment_id)
        if reach.person_id is None:  # never compare a missing person with a missing person
            return self.none()
        return self.filter(
            Q(owner_team_id__in=reach.team_ids)
            | Q(recipient_id=reach.person_id)
            | Q(service__owner_team_id__in=reach.team_ids)
        )

    def living(self, at: datetime) -> ManagedKeyQuerySet:
        """Keys that verify, or may yet: not revoked, still authorised, with a version that has not ended."""
        versions = KeyVersion.objects.living(at).values("managed_key_id")
        return self.filter(revoked_at=None, authorised_until__gt=at, pk__in=versions)


@governed("key")
class ManagedKey(Row):
    """What people mean by a key; its secrets are its versions. Durations are in days."""

    number = models.BigIntegerField(unique=True)
    name = models.CharField(max_length=80)
    owner_team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="keys")
    recipient = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="keys_received", null=True)
    consumer = models.CharField(max_length=120)
    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="keys")
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="keys")
    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="keys", null=True)
    request = models.ForeignKey("keys.KeyRequest", on_delete=models.PROTECT, null=True, related_name="keys")
    origin = models.CharField(max_length=12)
    kind = models.CharField(max_length=12)
    # The Ed25519 public key that the approvers saw (base64url): the first version takes no other.
    public_key = models.CharField(max_length=43, blank=True, default="")
    scopes = ArrayField(models.CharField(max_length=80))
    networks = ArrayField(models.CharField(max_length=50), default=list)
    limits = models.JSONField(default=dict)
    rotation = models.JSONField(null=True)
    self_fetch = models.BooleanField(default=False)
    cryptoperiod_days = models.PositiveIntegerField()
    authorised_until = models.DateTimeField()
    verifies_service = models.ForeignKey(Service, on_delete=models.PROTECT, null=True, related_name="verifying_keys")
    verifies_environment = models.ForeignKey(
        Environment, on_delete=models.PROTECT, null=True, related_name="verifying_keys"
    )
    revoked_at = models.DateTimeField(null=True)
    revoked_reason = models.CharField(max_length=30, blank=True, default="")
    revoked_by = models.CharField(max_length=80, blank=True, default="")

    objects = ManagedKeyQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-id")
        constraints: ClassVar = [
            models.CheckConstraint(condition=one_of("origin", Origin), name="key_origin_known"),
            models.CheckConstraint(condition=one_of("kind", KeyKind), name="key_kind_known"),
            models.CheckConstraint(
                condition=(Q(revoked_at=None) & Q(revoked_reason=""))
                | (Q(revoked_at__isnull=False) & one_of("revoked_reason", RevocationReason)),
                name="key_revoked_with_a_reason",
            ),
            models.CheckConstraint(
                condition=Q(verifies_service=None, verifies_environment=None)
                | Q(verifies_service__isnull=False, verifies_environment__isnull=False),
                name="key_verifies_one_service_and_environment",
            ),
        ]
        indexes: ClassVar = [models.Index("created_at", "id", name="key_page")]

    def __str__(self) -> str:
        return f"KEY-{self.number}"


class KeyVersionQuerySet(models.QuerySet["KeyVersion"]):
    """Ways to find versions."""

    def visible_to(self, actor: Actor | None) -> KeyVersionQuerySet:
        return self.filter(managed_key__in=ManagedKey.objects.visible_to(actor).values("pk"))

    def living(self, at: datetime) -> KeyVersionQuerySet:
        """Not ended by state nor by the clock; one that never was active, claimed by nobody or fetched, until its claim lapses."""
        return self.filter(
            Q(state__in=(VersionState.PRE_ACTIVATION, VersionState.SUSPENDED), activated_at=None, claim_until__gt=at)
            | Q(state__in=(VersionState.ACTIVE, VersionState.SUSPENDED), expires_at__gt=at)
            & (Q(retire_at=None) | Q(retire_at__gt=at))
        )

    def stopped_on_purpose(self) -> KeyVersionQuerySet:
        """Those that somebody suspended: no replacement begins before they are reinstated (keys/lifecycle/issuance.py)."""
        return self.filter(state=VersionState.SUSPENDED, suspended_reason__in=CHOSEN_SUSPENSIONS)

    def to_claim(self, at: datetime) -> KeyVersionQuerySet:
        """Those whose secret waits for its recipient; what a client fetched is not to be claimed."""
        return self.living(at).filter(state=VersionState.PRE_ACTIVATION, digest=None)

    def over_by(self, at: datetime) -> KeyVersionQuerySet:
        """Versions that the clock has ended though their state does not say so yet, the longest over first (index version_ends)."""
        return self.filter(state__in=_LIVING).annotate(ends_at=ENDS_AT).filter(ends_at__lte=at).order_by("ends_at")


@governed(
    "version",
    excluded={
        "digest": "would let a reader of the log test guesses; its row MAC is checked instead",
        "sealed_secret": "the secret of a key that signs, sealed; its row MAC is checked instead",
        "row_mac": "derived from the other columns with a key the database does not hold",
        "claimed_session": "a session's name is nobody's business later",
    },
)
class KeyVersion(Row):
    """One secret of a key. `kid` is its public identifier; `digest` is set once, when the secret is claimed."""

    managed_key = models.ForeignKey(ManagedKey, on_delete=models.PROTECT, related_name="versions")
    sequence = models.PositiveIntegerField()
    kid = models.CharField(max_length=16, unique=True)
    state = models.CharField(max_length=14, default=str(VersionState.PRE_ACTIVATION))
    digest = models.BinaryField(null=True, max_length=64)
    digest_algorithm = models.CharField(max_length=20, blank=True, default="")
    # What verifies the signatures of a key that signs: an Ed25519 public key (base64url), or the shared secret (sealed).
    public_key = models.CharField(max_length=43, blank=True, default="")
    sealed_secret = models.TextField(blank=True, default="")
    row_mac = models.CharField(max_length=120)
    last4 = models.CharField(max_length=4, blank=True, default="")
    claim_until = models.DateTimeField()
    claimed_at = models.DateTimeField(null=True)
    claimed_by = models.ForeignKey(Person, on_delete=models.PROTECT, null=True, related_name="+")
    claimed_session = models.CharField(max_length=64, blank=True, default="")
    activated_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    retire_at = models.DateTimeField(null=True)
    suspended_at = models.DateTimeField(null=True)
    suspended_reason = models.CharField(max_length=30, blank=True, default="")
    suspended_by = models.CharField(max_length=SUSPENDED_BY_LENGTH, blank=True, default="")
    ended_at = models.DateTimeField(null=True)
    ended_reason = models.CharField(max_length=30, blank=True, default="")

    # Whether the row MAC held when an operation locked the row (keys.lifecycle.transitions); not a column.
    is_intact = True

    objects = KeyVersionQuerySet.as_manager()

    class Meta:
        ordering = ("managed_key", "-sequence")
        constraints: ClassVar = [
            models.CheckConstraint(condition=one_of("state", VersionState), name="version_state_known"),
            models.UniqueConstraint("managed_key", "sequence", name="version_once_a_sequence"),
            models.UniqueConstraint(
                "managed_key", condition=Q(state="pre-activation"), name="version_one_pre_activation"
            ),
            models.CheckConstraint(
                condition=~Q(state="active")
                | Q(digest__isnull=False, activated_at__isnull=False, expires_at__isnull=False),
                name="version_active_has_a_digest",
            ),
            models.CheckConstraint(condition=Q(public_key="") | Q(sealed_secret=""), name="version_signs_in_one_way"),
        ]
        indexes: ClassVar = [
            models.Index(
                "expires_at", condition=Q(state__in=["pre-activation", "active", "suspended"]), name="version_expiring"
            ),
            models.Index(
                ENDS_AT, condition=Q(state__in=["pre-activation", "active", "suspended"]), name="version_ends"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.managed_key} v{self.sequence}"


class KeyTransferQuerySet(models.QuerySet["KeyTransfer"]):
    """Ways to find transfers."""

    def visible_to(self, actor: Actor | None) -> KeyTransferQuerySet:
        reach = reach_of(actor)
        if reach.everything:
            return self
        return self.filter(Q(from_team_id__in=reach.team_ids) | Q(to_team_id__in=reach.team_ids))

    def waiting(self, at: datetime) -> KeyTransferQuerySet:
        return self.filter(decided_at=None, lapses_at__gt=at)


@governed("transfer", private=("comment",))
class KeyTransfer(Row):
    """The offer of a key by its team to another, until that team answers."""

    managed_key = models.ForeignKey(ManagedKey, on_delete=models.PROTECT, related_name="transfers")
    from_team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="+")
    to_team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="+")
    offered_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    decided_by = models.ForeignKey(Person, on_delete=models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=10, blank=True, default="")
    comment = models.TextField(blank=True, default="")
    lapses_at = models.DateTimeField()

    objects = KeyTransferQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "id")
        constraints: ClassVar = [
            models.UniqueConstraint("managed_key", condition=Q(decided_at=None), name="transfer_one_open"),
            models.CheckConstraint(condition=~Q(from_team=F("to_team")), name="transfer_to_another_team"),
            models.CheckConstraint(
                condition=Q(outcome__in=["", "accepted", "declined", "withdrawn", "lapsed"]),
                name="transfer_outcome_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.managed_key}: {self.from_team} → {self.to_team}"
