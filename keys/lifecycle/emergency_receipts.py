"""Read from the log what an emergency did: the list, and what became of each key on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from audit.actor import Actor
from audit.models import AuditEvent
from keys.errors import NotFound
from keys.events import EmergencyExecuted, KeyPassedOver, KeyRevoked, RotationPrepared
from keys.models import ManagedKey, Rotation
from keys.models.reach import reach_of

LATEST = 10
STOPPED, ROTATING = "stopped", "rotating"


@dataclass(frozen=True, kw_only=True)
class ReceiptLine:
    """One key: what became of it, or the reason why it was left as it was."""

    key: ManagedKey
    outcome: str


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """One act over many keys. `facts` are the details of its event."""

    act: UUID
    event: AuditEvent
    facts: Mapping[str, Any]  # Any: a JSON value
    reason: str
    lines: list[ReceiptLine]

    def as_json(self) -> dict[str, object]:
        """What is downloaded; each line can be found in the log by the act's id, its correlation."""
        return {
            "emergency": str(self.act),
            "event": str(self.event.uid),
            "at": self.event.occurred_at.isoformat(),
            "by": f"{self.event.actor_type}:{self.event.actor_id}",
            "reason": self.reason,
            **self.facts,
            "keys": [
                {"number": line.key.number, "id": str(line.key.pk), "name": line.key.name, "outcome": line.outcome}
                for line in self.lines
            ],
        }


def read_receipt(act: UUID, *, actor: Actor) -> Receipt:
    """Find the receipt of an act; it exists for those who see every key."""
    if not reach_of(actor).everything:
        raise NotFound
    event = AuditEvent.objects.of_target("emergency", str(act)).with_action(EmergencyExecuted.action).first()
    if event is None:
        raise NotFound
    envelope = event.envelope()
    told: dict[str, str] = {}
    rotations: list[str] = []
    # All that an act does is one transaction.
    wanted = [action.action for action in (KeyRevoked, KeyPassedOver, RotationPrepared)]
    for each in AuditEvent.objects.filter(txid=event.txid, action__in=wanted).order_by("id"):
        facts = each.envelope()
        if facts.get("correlation") != str(act):
            continue
        if each.action == RotationPrepared.action:
            rotations.append(each.target_id)
        else:
            told[each.target_id] = STOPPED if each.action == KeyRevoked.action else str(facts.get("reason"))
    of_rotation = Rotation.objects.visible_to(actor).filter(pk__in=rotations).values_list("managed_key_id", flat=True)
    told |= {str(pk): ROTATING for pk in of_rotation}
    keys = (
        ManagedKey.objects.visible_to(actor).filter(pk__in=told).select_related("environment", "owner_team", "service")
    )
    details = envelope.get("details")
    return Receipt(
        act=act,
        event=event,
        facts=details if isinstance(details, dict) else {},
        reason=str(envelope.get("reason", "")),
        lines=[ReceiptLine(key=key, outcome=told[str(key.pk)]) for key in keys.order_by("number")],
    )


def latest_acts(*, actor: Actor) -> list[AuditEvent]:
    """The last acts over many keys, the latest first."""
    if not reach_of(actor).everything:
        return []
    return list(AuditEvent.objects.with_action(EmergencyExecuted.action).order_by("-occurred_at", "-id")[:LATEST])
