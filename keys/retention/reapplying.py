"""Do the erasures of the log again after a backup was restored: a backup remembers what the log says is gone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from uuid import UUID

from audit import clock
from audit.actor import Actor, ActorKind
from audit.canonical import JsonValue, parse_strict
from audit.erasures import named_in
from audit.log import erase_private
from audit.models import AuditEvent, AuditLeaf, AuditPrivate
from audit.retention import EXPIRED_AT_ONCE, expire_private, holds_in_force
from keys.errors import Denied
from keys.events import PersonErased
from keys.models import Person
from keys.operations import operation
from keys.retention.erasure import erase_again

RESTORED = "restored"
_ERASING = ("pii.erased", "pii.expired", PersonErased.action)


@dataclass(kw_only=True)
class Reapplied:
    """How many people, private parts and leaves were erased again, and what could not be."""

    people: int = 0
    parts: int = 0
    leaves: int = 0
    refused: list[str] = field(default_factory=list)


def reapply_erasures(*, actor: Actor, payloads: Iterable[bytes] | None = None) -> Reapplied:
    """Erase again what the log, or these payloads (from tiles), say was erased. On record; safe to run twice.

    Meant for a restored database before anybody is let in; what is held meanwhile is left, and told.
    """
    if actor.kind in (ActorKind.PERSON, ActorKind.PROGRAM):
        raise Denied("shell_only", rule="erasure.again")
    done = Reapplied()
    for payload in _from_the_log() if payloads is None else payloads:
        envelope = parse_strict(payload)
        if not isinstance(envelope, dict) or envelope.get("action") not in _ERASING:
            continue
        details, target = envelope["details"], envelope["target"]
        assert isinstance(details, dict)
        assert isinstance(target, dict)
        if envelope["action"] == PersonErased.action:
            _person(str(target["id"]), done, actor=actor)
        elif envelope["action"] == "pii.erased":
            done.parts += _parts(named_in(details), person_id=str(target["id"]), actor=actor)
        else:
            _leaves(details["from_leaf"], details["upto_leaf"], done, actor=actor)
    return done


def _from_the_log() -> Iterator[bytes]:
    found = AuditEvent.objects.with_action(*_ERASING).order_by("id").values_list("payload", flat=True)
    return map(bytes, list(found))


def _person(pk: str, done: Reapplied, *, actor: Actor) -> None:
    person = Person.objects.filter(pk=pk, erased_at=None).first()
    if person is not None:
        done.parts += erase_again(person, actor=actor).parts
        done.people += 1


@operation
def _parts(uids: list[str], *, person_id: str, actor: Actor) -> int:
    """Delete those of these private parts that are there again."""
    wanted = AuditPrivate.objects.filter(event__uid__in=uids).values_list("event__uid", flat=True)
    back: list[UUID] = list(wanted)
    if not back:
        return 0
    return erase_private(back, person_id=person_id, actor=actor, at=clock.now(), reason=RESTORED)[0]


def _leaves(first: JsonValue, upto: JsonValue, done: Reapplied, *, actor: Actor) -> None:
    assert isinstance(first, int)
    assert isinstance(upto, int)
    for start in range(first, upto, EXPIRED_AT_ONCE):
        span = (start, min(start + EXPIRED_AT_ONCE, upto))
        if holds_in_force(spans=[span]):
            done.refused.append(f"leaves {span[0]} to {span[1] - 1} are held")
        else:
            done.leaves += _expire(span, actor=actor)


@operation
def _expire(span: tuple[int, int], *, actor: Actor) -> int:
    """Delete the private parts of these leaves if any are there again."""
    leaves = AuditLeaf.objects.filter(index__gte=span[0], index__lt=span[1])
    if not AuditPrivate.objects.filter(event_id__in=leaves.values("event_id")).exists():
        return 0
    return expire_private(span, reason=RESTORED, actor=actor, at=clock.now())
