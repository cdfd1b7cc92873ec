"""Stop many keys, or have all their secrets replaced, by one act."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from audit import clock
from audit.actor import Actor
from keys.errors import Conflict, Invalid
from keys.events import EmergencyExecuted, KeyPassedOver
from keys.lifecycle.emergency_course import end_key, rotate_key, why_not_rotated
from keys.lifecycle.emergency_lists import MOST_KEYS, EmergencyFilter, digest_of
from keys.lifecycle.many_changes import ManyChanges
from keys.models import KeyVersion, ManagedKey, Rotation
from keys.operations import operation
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.rules import may_act_on_many
from keys.sealing import mac_holds
from keys.states import RevocationReason

APPEARED = "appeared-meanwhile"
ENDED = "already-ended"


class Measure(StrEnum):
    """What happens to all of them."""

    REVOKE = "revoke"
    ROTATE = "rotate"


@dataclass
class Held:
    """The locked rows of one key; versions newest first."""

    key: ManagedKey
    versions: list[KeyVersion]
    rotation: Rotation | None = None


@operation
def execute_emergency(
    wanted: EmergencyFilter,
    *,
    numbers: Sequence[int],
    digest: str,
    measure: Measure,
    actor: Actor,
    reason: RevocationReason = RevocationReason.KEY_COMPROMISE,
) -> UUID:
    """Revoke every key of the confirmed list, or have all secrets replaced, in one transaction; return the id of the receipt.

    The list is the one that was shown: a key that fits only since then is told in the receipt, and not touched.
    Replacement asks for no sealed log here: nothing is handed over before its claim, which does.
    """
    at = clock.now()
    enforce(may_act_on_many(actor, standing_of(actor, at=at), at=at))
    listed = sorted(set(numbers))
    if not 1 <= len(listed) <= MOST_KEYS:
        raise Invalid.field("keys", "out_of_range", least=1, most=MOST_KEYS)
    if digest != digest_of(listed):
        raise Conflict("list_differs")
    held = _locked(actor, listed)
    if len(held) != len(listed):
        raise Invalid.field("keys", "unknown_key")
    appeared = _appeared(wanted, listed, actor=actor)
    at = clock.now()  # what was read under the locks is judged by a time after them
    act = uuid.uuid4()
    changes = ManyChanges(actor=actor, at=at, correlation=str(act))
    outcomes: Counter[str] = Counter()
    for each in held:
        outcomes[_treat(each, changes, measure=measure, reason=reason, at=at)] += 1
    for key in appeared:
        _pass_over(key, APPEARED, changes)
    changes.tell(
        EmergencyExecuted(
            target_id=str(act),
            reason=str(reason) if measure == Measure.REVOKE else "compromise",
            correlation=str(act),
            measure=str(measure),
            searched=wanted.told(),
            digest=digest,
            listed=len(listed),
            stopped=outcomes["stopped"],
            rotating=outcomes["rotating"],
            already_ended=outcomes[ENDED],
            not_rotated=outcomes["passed-over"],
            appeared=len(appeared),
        )
    )
    changes.write()
    return act


def _treat(held: Held, changes: ManyChanges, *, measure: Measure, reason: RevocationReason, at: datetime) -> str:
    if held.key.revoked_at is not None:
        _pass_over(held.key, ENDED, changes)
        return ENDED
    if measure == Measure.REVOKE:
        end_key(held.key, held.versions, held.rotation, changes, reason=reason)
        return "stopped"
    why_not = why_not_rotated(held.key, held.versions, held.rotation, at=at)
    if why_not:
        _pass_over(held.key, why_not, changes)
        return "passed-over"
    rotate_key(held.key, held.versions, held.rotation, changes)
    return "rotating"


def _pass_over(key: ManagedKey, reason: str, changes: ManyChanges) -> None:
    changes.tell(
        KeyPassedOver(
            target_id=str(key.pk), reason=reason, environment=key.environment.tag, correlation=changes.correlation
        )
    )


def _appeared(wanted: EmergencyFilter, listed: Sequence[int], *, actor: Actor) -> list[ManagedKey]:
    """What fits now and was not on the list; with a chosen list nothing else can."""
    if wanted.numbers or not wanted.told():
        return []
    others = wanted.select(actor, at=clock.now()).exclude(number__in=listed)
    return list(others.select_related("environment").order_by("number")[:MOST_KEYS])


def _locked(actor: Actor, numbers: Sequence[int]) -> list[Held]:
    """Lock the keys in the order of their ids, then all versions, then the open rotations: the order within each key is that
    of every other operation, and two emergencies never wait for each other crosswise."""
    named = list(ManagedKey.objects.visible_to(actor).filter(number__in=numbers).values_list("pk", flat=True))
    rows = ManagedKey.objects.select_related("environment", "service", "owner_team", "policy")
    keys = rows.filter(pk__in=named).order_by("pk").select_for_update(of=("self",), no_key=True)
    found = {key.pk: Held(key, []) for key in keys}
    versions = KeyVersion.objects.filter(managed_key__in=found).order_by("managed_key_id", "-sequence")
    for version in versions.select_for_update(of=("self",), no_key=True):
        held = found[version.managed_key_id]
        version.managed_key = held.key
        version.is_intact = mac_holds(version)
        held.versions.append(version)
    rotations = Rotation.objects.open().filter(managed_key__in=found).order_by("managed_key_id")
    for rotation in rotations.select_for_update(of=("self",), no_key=True):
        rotation.managed_key = found[rotation.managed_key_id].key
        found[rotation.managed_key_id].rotation = rotation
    return list(found.values())
