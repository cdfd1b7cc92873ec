"""Show which verifiers there are, how far behind each may be, and what the receipts of stops say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Max

from audit import clock
from audit.actor import Actor
from keys.models import ManagedKey, RevocationReceipt, UsageCount, Verifier
from keys.operations import operation
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.verifier_rules import may_read_verifiers
from keys.states import VALID

SHOWN: Final = timedelta(hours=1)  # a verifier that has ended is shown for so long
MISSED: Final = timedelta(days=1)  # a door that ended longer ago is not missed any more
MOST: Final = 200
LATEST: Final = 20


@dataclass(frozen=True, kw_only=True)
class VerifierState:
    """One verifier as it is now."""

    verifier: Verifier
    at: datetime

    @property
    def has_lease(self) -> bool:
        return self.verifier.stopped_at is None and self.verifier.valid_until > self.at

    @property
    def lag(self) -> timedelta:
        """How old its last look at the database is, at most."""
        return max(self.at - self.verifier.renewed_at, timedelta())


@dataclass(frozen=True, kw_only=True)
class ToldReceipt:
    """A receipt beside what was counted: when the key was last accepted, and whether that was after the answer."""

    receipt: RevocationReceipt
    last_used_at: datetime | None

    @property
    def took(self) -> timedelta:
        return self.receipt.answered_at - self.receipt.committed_at

    @property
    def words(self) -> Sequence[dict[str, Any]]:  # Any: JSON
        return list(self.receipt.verifiers)

    @property
    def is_used_after(self) -> bool:
        """Whether it was accepted after the stop was answered: never, unless it was reinstated or replaced since."""
        return self.last_used_at is not None and self.last_used_at > self.receipt.answered_at


@operation
def read_verifiers(*, actor: Actor) -> list[VerifierState]:
    """Return the verifiers with a lease, and those whose lease ended a short while ago."""
    at = clock.now()
    enforce(may_read_verifiers(standing_of(actor, at=at)), hidden=True)
    rows = Verifier.objects.filter(valid_until__gt=at - SHOWN).select_related("service", "environment", "credential")
    states = [VerifierState(verifier=row, at=at) for row in rows.order_by("-valid_until")[:MOST]]
    return sorted(states, key=lambda state: (not state.has_lease, state.verifier.name))


@operation
def read_receipts(*, actor: Actor) -> list[ToldReceipt]:
    """Return the latest receipts of all keys."""
    at = clock.now()
    enforce(may_read_verifiers(standing_of(actor, at=at)), hidden=True)
    rows = RevocationReceipt.objects.visible_to(actor).select_related("managed_key__environment")
    return _told(list(rows.order_by("-answered_at")[:LATEST]))


def count_doors(*, at: datetime) -> int | None:
    """How many doors of ours hold a lease; None where none did lately. Verifiers of clients are their own affair."""
    doors = Verifier.objects.filter(credential=None, valid_until__gt=at - MISSED)
    living = doors.filter(stopped_at=None, valid_until__gt=at).count()
    return living if living or doors.exists() else None


def receipts_of(key: ManagedKey) -> list[ToldReceipt]:
    """The receipts of a key that was found for somebody, the latest first."""
    rows = RevocationReceipt.objects.filter(managed_key=key).select_related("managed_key__environment")
    return _told(list(rows.order_by("-answered_at")[:LATEST]))


def _told(receipts: list[RevocationReceipt]) -> list[ToldReceipt]:
    uses = UsageCount.objects.filter(version__managed_key__in={each.managed_key_id for each in receipts}, outcome=VALID)
    last = dict(uses.values_list("version__managed_key").annotate(Max("last_at")))
    return [ToldReceipt(receipt=each, last_used_at=last.get(each.managed_key_id)) for each in receipts]
