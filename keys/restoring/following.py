"""Bring governed rows to what the recovered end of the log says, and only then let keys verify again."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from django.db import IntegrityError, connection, transaction

from audit import clock
from audit.actor import Actor, ActorKind
from audit.events import LogFollowed
from audit.governed import governed_tables
from audit.interruptions import NEW_ORIGIN, end_interruption, open_interruption
from audit.log import record
from audit.models import AuditInterruption
from audit.replay import Replay, read_events
from keys.errors import Conflict, Denied
from keys.events import FOLLOWED
from keys.models import DeviceSignIn, Session
from keys.operations import operation
from keys.people.device_sign_ins import end_sign_ins
from keys.people.session_ends import WITH_ALL, end_rows
from keys.rekeying.naming import makers_of_versions
from keys.restoring.rows import Columns, Placed, as_stored, insert_row, stored_row, write_columns
from keys.restoring.versions import fit_row_macs, intact_versions, stricter_state, tell_end, without_secret
from keys.sealing import keyring
from keys.text import paragraph

MOST_TOLD = 100
_TOUCHED = """
SELECT DISTINCT event.target_type, event.target_id FROM audit_event event
LEFT JOIN audit_leaf leaf ON leaf.event_id = event.id
WHERE event.target_type = ANY (%s) AND {range} ORDER BY 1, 2
"""
_IN_TAIL = "leaf.index >= %s AND leaf.index < %s"
_AFTER = "(leaf.index >= %s OR leaf.index IS NULL)"
_NUMBERS = {"keys_key_number": "keys_managedkey", "keys_request_number": "keys_keyrequest"}


@dataclass(kw_only=True)
class Followed:
    """How many rows were brought up, how many versions ended without a secret, and which new rows found no place."""

    rows: int = 0
    ended: int = 0
    left: list[str] = field(default_factory=list)


@operation
def follow_log(*, actor: Actor, even_so: bool = False) -> Followed:
    """Apply what the recovered events say to the rows they are about, all or none, and end the interruption.

    A row that is here and cannot be brought up stops everything: it might be a revocation. A row that the database never had
    and that finds no place (its number was given out again) stays away, is told, and verifies nothing.
    """
    interruption = ready_to_follow(actor, even_so=even_so)
    if interruption.cause == NEW_ORIGIN:
        raise Conflict("log_origin_is_new")
    at = clock.now()
    start, end = interruption.from_leaf, interruption.upto_leaf
    told, now = read_events(upto_leaf=end), read_events()
    contested = set(_touched(_AFTER, end))
    before = intact_versions()
    done = Followed()
    for is_new in (False, True):  # what ends makes room for what begins
        for target in _touched(_IN_TAIL, start, end):
            row = told.rows[target[0]].get(target[1])
            if row is None or (stored_row(*target) is None) != is_new:
                continue
            unknown = told.unknown.get(target, set())
            try:
                with transaction.atomic():
                    placed = _placed(target, row, now, unknown=unknown, is_contested=target in contested, at=at)
            except IntegrityError as error:
                if not is_new:
                    raise Conflict("row_does_not_follow", row="/".join(target)) from error
                done.left.append("/".join(target))
                continue
            _record(placed, actor=actor, at=at)
            done.rows += 1
            done.ended += bool(placed.end)
    fit_row_macs(before)
    _skip_numbers()
    _sign_everybody_out(actor)
    _finish(interruption, done, reason="recovered", comment="", actor=actor, at=at)
    return done


@operation
def answer_by_hand(*, actor: Actor, comment: str, even_so: bool = False) -> Followed:
    """End the interruption of a new log: there is nothing to follow, so a person answers for the rows, in words."""
    interruption = ready_to_follow(actor, even_so=even_so)
    if interruption.cause != NEW_ORIGIN:
        raise Conflict("log_can_be_followed")
    words = paragraph(comment, "comment", least=10)
    _sign_everybody_out(actor)
    done = Followed()
    _finish(interruption, done, reason="by-hand", comment=words, actor=actor, at=clock.now())
    return done


def _sign_everybody_out(actor: Actor) -> None:
    """Nobody can say who held what the backup holds; devices first, for they may be taking a token now."""
    at = clock.now()
    end_sign_ins(DeviceSignIn.objects.all(), actor=actor, at=at)
    end_rows(Session.objects.order_by("pk"), actor=actor, at=at, reason=WITH_ALL)


def ready_to_follow(actor: Actor, *, even_so: bool = False) -> AuditInterruption:
    """Return the interruption that can be ended now; raise what is missing before.

    `even_so`: although versions name keys that the keyring lacks. Rows of a key that was forgotten since the backup look forged,
    and what changed of them would never get a row MAC again; but rows may name it that are forged.
    """
    if actor.kind != ActorKind.OPERATOR:
        raise Denied("shell_only", rule="log.follow")
    interruption = open_interruption()
    if interruption is None:
        raise Conflict("log_not_interrupted")
    if interruption.recovered_at is None:
        raise Conflict("log_not_recovered")
    if not even_so and (lacking := makers_of_versions().difference(keyring().key_ids)):
        raise Conflict("keyring_of_another_day", names=", ".join(map(ascii, sorted(lacking))))
    return interruption


def _touched(range_sql: str, *leaves: int) -> list[tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute(_TOUCHED.format(range=range_sql), (sorted(governed_tables()), *leaves))
        return [(kind, row_id) for kind, row_id in cursor.fetchall()]


def _placed(
    target: tuple[str, str], row: Columns, now: Replay, *, unknown: set[str], is_contested: bool, at: datetime
) -> Placed:
    """Write one row. Where somebody changed it after the restore, the lost events win, except against what is stricter."""
    kind, row_id = target
    stored = stored_row(kind, row_id)
    told = wanted = as_stored(kind, row)
    placed = Placed(target_type=kind, row_id=row_id, is_new=stored is None)
    if kind == "version":
        wanted = stricter_state(stored, wanted) if stored and is_contested else wanted
        placed.end = without_secret(wanted, stored, at=at)
    if is_contested and stored is not None:
        # What the log says last is somebody's who did not know; this event says what holds instead.
        last = now.rows[kind].get(row_id, row)
        last_stored = as_stored(kind, last)
        placed.change = {
            # In the log's own spelling where it is the log's value: the replay compares spellings.
            name: (last[name], row[name] if told[name] == wanted[name] else wanted[name])
            for name in governed_tables()[kind].columns
            if name not in unknown and last_stored[name] != wanted[name]
        }
    placed.told, written = row, wanted | placed.end
    if stored is None:
        insert_row(kind, {name: written[name] for name in governed_tables()[kind].columns}, unknown=unknown)
        return placed
    placed.columns = tuple(
        name for name in governed_tables()[kind].columns if name not in unknown and written[name] != stored[name]
    )
    if placed.columns:
        write_columns(kind, row_id, {name: written[name] for name in placed.columns})
    return placed


def _record(placed: Placed, *, actor: Actor, at: datetime) -> None:
    event = FOLLOWED[placed.target_type](
        target_id=placed.row_id, change=placed.change, columns=placed.columns, is_new=placed.is_new
    )
    record(event, actor=actor, at=at)
    if placed.end:
        tell_end(placed.row_id, placed.told, placed.end, actor=actor, at=at)


def _skip_numbers() -> None:
    """Let no number that the recovered log knows be given out again."""
    with connection.cursor() as cursor:
        for sequence, table in _NUMBERS.items():
            cursor.execute(f"SELECT coalesce(max(number), 0) FROM {table}")  # noqa: S608 - constants
            highest = int(cursor.fetchone()[0])
            number = 0
            while number < highest:
                cursor.execute("SELECT nextval(%s::regclass)", (sequence,))
                number = int(cursor.fetchone()[0])


def _finish(
    interruption: AuditInterruption, done: Followed, *, reason: str, comment: str, actor: Actor, at: datetime
) -> None:
    event = LogFollowed(
        target_id="log",
        reason=reason,
        from_leaf=interruption.from_leaf,
        upto_leaf=interruption.upto_leaf,
        rows=done.rows,
        ended=done.ended,
        left=tuple(done.left[:MOST_TOLD]),
        comment=comment,
    )
    record(event, actor=actor, at=at)
    end_interruption(interruption, by=f"{actor.kind}/{actor.id}")
