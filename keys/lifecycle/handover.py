"""Pass a key from one team to another: one side offers, the other accepts."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from audit import clock
from audit.actor import Actor
from keys.errors import Conflict, Invalid
from keys.events import KeyHandedOver, TransferDecided, TransferOffered
from keys.lifecycle.facts import key_facts
from keys.lifecycle.transitions import locked_key
from keys.models import Approval, KeyTransfer, ManagedKey, Membership, Person, Team
from keys.operations import insert, locked, operation, update
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.rules import may_answer_transfer, may_offer_transfer
from keys.text import paragraph

OFFER_PERIOD = timedelta(days=7)


@operation
def offer_transfer(key: ManagedKey, *, to_team: Team, actor: Actor, comment: str = "") -> KeyTransfer:
    """Offer `key` to another team; nothing changes until a lead of that team accepts."""
    key = locked_key(key)
    at = clock.now()
    enforce(may_offer_transfer(actor, standing_of(actor, at=at), key_facts(key), at=at))
    if to_team.retired_at is not None or to_team.pk == key.owner_team_id:
        raise Invalid.field("to_team", "unknown_team")
    open_offer = key.transfers.filter(decided_at=None).first()
    if open_offer is not None and open_offer.lapses_at > at:
        raise Conflict("transfer_waiting")
    if open_offer is not None:
        _decide(open_offer, "lapsed", actor=actor)
    transfer = KeyTransfer(
        created_at=at,
        managed_key=key,
        from_team=key.owner_team,
        to_team=to_team,
        offered_by_id=UUID(actor.id),
        comment=paragraph(comment, "comment"),
        lapses_at=at + OFFER_PERIOD,
    )
    return insert(transfer, TransferOffered, actor=actor, at=at, environment=key.environment.tag)


@operation(grants="always")
def accept_transfer(transfer: KeyTransfer, *, recipient: Person, actor: Actor) -> KeyTransfer:
    """Take the key over; `recipient`, a member of the receiving team, claims its next secrets."""
    key = locked_key(transfer.managed_key)
    transfer = _open(transfer)
    at = clock.now()
    who = standing_of(actor, at=at)
    enforce(
        may_answer_transfer(actor, who, to_team_id=transfer.to_team_id, offered_by_id=transfer.offered_by_id, at=at)
    )
    if key.revoked_at is not None or key.owner_team_id != transfer.from_team_id:
        raise Conflict("transfer_out_of_date")
    if not Membership.objects.living().filter(team_id=transfer.to_team_id, person=recipient).exists():
        raise Invalid.field("recipient", "not_in_owner_team")
    if Approval.objects.standing().of_key(key.pk).given_by(recipient).exists():
        raise Invalid.field("recipient", "recipient_approved")  # who approved a key never holds it (invariant 7)
    _decide(transfer, "accepted", actor=actor)
    update(
        key,
        KeyHandedOver,
        actor=actor,
        at=at,
        expected={"owner_team_id": transfer.from_team_id, "revoked_at": None},
        columns={"owner_team_id": transfer.to_team_id, "recipient_id": recipient.pk},
        environment=key.environment.tag,
        correlation=str(transfer.pk),
    )
    return transfer


@operation
def decline_transfer(transfer: KeyTransfer, *, actor: Actor) -> KeyTransfer:
    """Say no to an offered key."""
    transfer = _open(transfer)
    at = clock.now()
    who = standing_of(actor, at=at)
    enforce(
        may_answer_transfer(actor, who, to_team_id=transfer.to_team_id, offered_by_id=transfer.offered_by_id, at=at)
    )
    return _decide(transfer, "declined", actor=actor)


@operation
def withdraw_transfer(transfer: KeyTransfer, *, actor: Actor) -> KeyTransfer:
    """Take an offer back; whoever may offer may."""
    key = locked_key(transfer.managed_key)
    transfer = _open(transfer)
    at = clock.now()
    enforce(may_offer_transfer(actor, standing_of(actor, at=at), key_facts(key), at=at))
    return _decide(transfer, "withdrawn", actor=actor)


def _open(transfer: KeyTransfer) -> KeyTransfer:
    transfer = locked(transfer)
    if transfer.decided_at is not None or transfer.lapses_at <= clock.now():
        raise Conflict("transfer_not_open")
    return transfer


def _decide(transfer: KeyTransfer, outcome: str, *, actor: Actor) -> KeyTransfer:
    at = clock.now()
    decided_by = UUID(actor.id) if actor.kind == "person" and outcome != "lapsed" else None
    return update(
        transfer,
        TransferDecided,
        actor=actor,
        at=at,
        expected={"decided_at": None},
        columns={"decided_at": at, "decided_by_id": decided_by, "outcome": outcome},
        environment=transfer.managed_key.environment.tag,
    )
