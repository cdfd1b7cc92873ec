"""Register the verifiers of clients, renew their leases, and tell each what changed of what it holds: as many as ask at once.

Five statements serve one verifier or five hundred. The order is that of keys.verification.memory.lease: first the leases are committed,
then what changed is read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final
from uuid import UUID, uuid4

from django.db import connection, transaction

from audit import clock
from audit.bound import bound_cursor
from keys.models import Verifier
from keys.verification.lookup import VERIFIER
from keys.verification.memory import lease
from keys.verification.memory.lease import Holder, Renewal
from keys.verification.programs.sharing import PAST, PAST_LENGTH, position_in
from keys.verification.programs.telling import Change, Place, changes_of, signed
from keys.verification.verifier import Binding

SIGNED_CHANGES: Final = b"keystead changes v1\n"
MOST_LIVING: Final = 1000  # verifiers of one credential that hold a lease, or have just begun
MOST_ENDED: Final = 100  # and those that are still shown when their lease is over
JUST_BEGUN: Final = timedelta(minutes=1)
# What a renewal is refused for; the codes of the door.
UNKNOWN: Final = "not_found"
NO_MEMORY: Final = "not_kept_in_memory"
LOST: Final = "resync"
_POSITION: Final = re.compile(r"\d{1,19}:\d{1,19}:(?:\d{1,19}(?:,\d{1,19})*)?(?:@[0-9a-f]{16})?", re.ASCII)
_FIRST, _LAST = 1, 2**63  # numbers of transactions
_ONE_BY_ONE: Final = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
_HOLDERS: Final = """
SELECT v.id, v.name, v.credential_id, v.service_id, v.environment_id, e.max_staleness_ms
FROM keys_verifier v JOIN keys_environment e ON e.id = v.environment_id WHERE v.id = ANY(%s) AND v.stopped_at IS NULL
"""

# One statement, for somebody waits for a receipt. A position of another past, or of a future, says nothing here. Rows are locked in the
# order in which leases are renewed: the same program may renew and say what it has applied at once, and many do.
_APPLIED: Final = f"""
WITH locked AS (SELECT id FROM keys_verifier WHERE id = ANY(%(ids)s::uuid[]) ORDER BY id FOR NO KEY UPDATE)
UPDATE keys_verifier AS held SET applied = {lease.further("held.applied", "told.applied")}
FROM unnest(%(ids)s::uuid[], %(credentials)s::uuid[], %(applied)s::text[], %(pasts)s::text[]) AS told (id, credential, applied, past)
JOIN locked ON locked.id = told.id
WHERE held.id = told.id AND held.credential_id = told.credential AND held.stopped_at IS NULL
  AND told.past = (SELECT left(encode(sha256(convert_to(({lease.PAST}), 'UTF8')), 'hex'), {PAST_LENGTH}))
  AND pg_snapshot_xmax(told.applied::pg_snapshot) <= pg_snapshot_xmax(pg_current_snapshot())
  AND set_config('synchronous_commit', 'off', true) = 'off'
RETURNING held.id
"""  # noqa: S608 - constants of ours


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A client's wish to renew: which verifier, by which credential, and where it stands, as it was told."""

    verifier: UUID
    credential: UUID
    applied: str


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What a client's verifier gets for a renewal."""

    position: str
    lease_ms: int
    server_time: int
    changes: list[Change]


def register(name: str, *, credential: UUID, binding: Binding) -> Holder | None:
    """Begin a verifier of a client, without a lease until it renews; None where its credential has too many already."""
    holder = Holder(
        id=uuid4(), name=name, credential=credential, service=binding.service_id, environment=binding.environment_id
    )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_ONE_BY_ONE, [str(credential)])  # so that the count holds until the row is there
        long_ago = clock.now() - JUST_BEGUN
        rows = Verifier.objects.filter(credential=credential)
        if rows.filter(stopped_at=None, valid_until__gt=long_ago).count() >= MOST_LIVING:
            return None
        # A program that dies and begins again, for ever, leaves no more behind than somebody would look at.
        ended = rows.filter(valid_until__lte=long_ago).order_by("-valid_until").values_list("pk", flat=True)
        rows.filter(pk__in=list(ended[MOST_ENDED:])).delete()
        lease.renew(holder, terms={}, applied=lease.history()[1], entries=0, hears=False)
    return holder


@lru_cache(maxsize=100)  # all who are told of a change stand at the same position
def is_position(text: str) -> bool:
    """Whether the database would read a text as a position: one that it would not read fails everybody's renewal."""
    found = _POSITION.fullmatch(text)
    if found is None:
        return False
    least, most, *open_ones = (int(each) for each in text.partition(PAST)[0].replace(":", ",").split(",") if each)
    in_order = all(one <= other for one, other in pairwise([least, *open_ones]))
    return _FIRST <= least <= most < _LAST and in_order and all(each < most for each in open_ones)


def holder_of(verifier: UUID, *, credential: UUID) -> Holder | None:
    """The verifier of that name, if this credential registered it and it was not stopped."""
    found = _holders([verifier]).get(verifier)
    return None if found is None or found[0].credential != credential else found[0]


def renew_clients(asked: Sequence[Asked]) -> list[Changes | str]:
    """Renew leases of different verifiers, then tell what changed since each one's position, or the code of a refusal."""
    holders = _holders({each.verifier for each in asked})
    past, ahead = lease.read_positions({_without_past(each) for each in asked})
    refused = {each.verifier: _refusal(each, holders.get(each.verifier), past=past, ahead=ahead) for each in asked}
    renewals = [
        Renewal(holder=holder, terms={holder.environment: term}, applied=_without_past(each))
        for each in asked
        if refused[each.verifier] is None
        for holder, term in [holders[each.verifier]]
        if holder.environment is not None
    ]
    renewed_at = lease.renew_many(renewals)
    seen = lease.look_many({renewal.applied for renewal in renewals})
    keys = {key for each in seen.values() for key in each.keys if key is not None}
    changed = changes_of(keys, {_bounds(renewal.holder) for renewal in renewals})
    answers: list[Changes | str] = []
    for each in asked:
        refusal = refused[each.verifier]
        if refusal is None and each.verifier not in renewed_at:
            refusal = UNKNOWN  # ended meanwhile
        if refusal is not None:
            answers.append(refusal)
            continue
        holder, term = holders[each.verifier]
        at, now = renewed_at[each.verifier], seen[_without_past(each)]
        if now.is_gap or not now.is_of(past) or now.is_behind_log or None in now.keys:
            answers.append(LOST)
            continue
        there = changed[_bounds(holder)]
        told = [there[key] for key in now.keys if key in there]
        position = position_in(now.position, past)
        answers.append(Changes(position=position, lease_ms=term, server_time=int(at * 1000), changes=told))
    return answers


def acknowledge_clients(asked: Sequence[Asked]) -> list[str | None]:
    """Take what different verifiers say they have applied, without a new lease; the code for those that have to ask first."""
    stands = [each.applied.partition(PAST) for each in asked]
    with bound_cursor(VERIFIER) as cursor:
        cursor.execute(
            _APPLIED,
            {
                "ids": [each.verifier for each in asked],
                "credentials": [each.credential for each in asked],
                "applied": [position for position, _, _ in stands],
                "pasts": [past for _, _, past in stands],
            },
        )
        taken = {verifier for (verifier,) in cursor.fetchall()}
    return [None if each.verifier in taken else LOST for each in asked]


def written(changes: Changes, *, asked: Asked) -> dict[str, Any]:
    """The answer to a renewal; the signature covers what was asked, so an older answer does not fit a later question."""
    body: dict[str, Any] = {
        "lease_ms": changes.lease_ms,
        "position": changes.position,
        "changes": changes.changes,
        "server_time": changes.server_time,
        "resync": False,
    }
    return signed(SIGNED_CHANGES, f"{asked.verifier}\n{asked.applied}\n", body)


def _holders(verifiers: Collection[UUID]) -> dict[UUID, tuple[Holder, int]]:
    """Those that were not stopped, each with the term of its environment in milliseconds."""
    with bound_cursor(VERIFIER) as cursor:
        cursor.execute(_HOLDERS, [list(verifiers)])
        rows = cursor.fetchall()
    return {
        verifier: (
            Holder(id=verifier, name=name, credential=credential, service=service, environment=environment),
            min(term, round(lease.LONGEST * 1000)),
        )
        for verifier, name, credential, service, environment, term in rows
    }


def _refusal(asked: Asked, found: tuple[Holder, int] | None, *, past: str, ahead: dict[str, bool]) -> str | None:
    """Why this one is not renewed. A position of another past, from before a fail-over, acknowledges nothing here."""
    if found is None or found[0].credential != asked.credential:
        return UNKNOWN
    if not found[1]:
        return NO_MEMORY
    return LOST if ahead[_without_past(asked)] or asked.applied != position_in(_without_past(asked), past) else None


def _without_past(asked: Asked) -> str:
    """Its position as the database writes one."""
    return asked.applied.partition(PAST)[0]


def _bounds(holder: Holder) -> Place:
    assert holder.service is not None
    assert holder.environment is not None
    return holder.service, holder.environment
