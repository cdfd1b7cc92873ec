"""Let one archived subtree leave the database, on record, in one transaction; the database decides whether it may."""

from __future__ import annotations

from django.db import connections, transaction

from audit import clock
from audit.actor import Actor
from audit.keeping_events import LogPruned
from audit.log import record

PERIOD_OVER = "period-over"


def prune(first: int, upto: int, *, actor: Actor, using: str = "retention") -> int:
    """Delete the events of the leaves before `upto`; `first` is only told. Return how many events went."""
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        told = LogPruned(target_id="log", reason=PERIOD_OVER, from_leaf=first, upto=upto)
        record(told, actor=actor, at=clock.now(using), using=using)
        cursor.execute("SELECT audit_prune(%s)", (upto,))
        return int(cursor.fetchone()[0])
