"""Find one page of a search in bounded time, however large the log: one index leads, the other filters only look.

No index serves every combination of filters, and the planner guesses badly when a filter is rare in the time that is
asked for. So the narrowest filter leads, by row comparisons that only its own index can serve in order, and a page is
looked for in steps. When patience ends the page says how far it got, and the next one goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from audit.bound import bound_cursor
from audit.events import Outcome
from audit.queries import Position

PATIENCE_SECONDS = 1.0
STATEMENT_TIMEOUT_MS = 5_000
FIRST_STEP, LARGEST_STEP, GROWTH = 500, 32_000, 8
MOST_COUNTED = 10_000

_SEALED = "EXISTS (SELECT FROM audit_leaf WHERE audit_leaf.event_id = candidate.id AND audit_leaf.index < %s)"
_PLACE = ("occurred_at", "id")

Lane: TypeAlias = tuple[str, ...]


@dataclass(frozen=True)
class Filter:
    """Columns, and the values they may have together: one lane or several."""

    columns: tuple[str, ...]
    lanes: tuple[Lane, ...]

    @property
    def leads(self) -> bool:
        """Tell whether an index ends in (occurred_at, id) after these columns; nearly all outcomes are successes."""
        return self.columns != ("outcome",) or (str(Outcome.SUCCESS),) not in self.lanes


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is looked for: a span and filters that all hold. `start` counts in, `end` does not.

    `sealed_before`: only what is among the first so many leaves of the log.
    """

    start: datetime | None = None
    end: datetime | None = None
    filters: tuple[Filter, ...] = ()
    sealed_before: int | None = None


@dataclass(frozen=True, kw_only=True)
class Found:
    """The places of a page in reading order, whether there is more, and where the search stopped looking, if it did."""

    places: list[Position]
    has_more: bool = False
    stopped_at: Position | None = None


class Statement(NamedTuple):
    """A statement, or a part of one, and the values it is bound to."""

    sql: str
    values: list[Any]  # what psycopg takes


def find_page(
    question: Question,
    *,
    after: Position | None = None,
    newer: bool = False,
    size: int,
    patience: float = PATIENCE_SECONDS,
) -> Found:
    """Find the `size` events that follow `after` (going back in time, or with `newer` forward), newest first."""
    if len(question.filters) > 1:
        _limit_time()
    lead = _narrowest(question)
    others = [each for each in question.filters if each is not lead]
    stopped_at = None
    if others or question.sealed_before is not None:
        places, stopped_at = _in_steps(
            question, lead, others, after=after, newer=newer, most=size + 1, until=time.monotonic() + patience
        )
    else:
        found = _candidates(question, lead, _PLACE, after=after, newer=newer, limit=size + 1)
        places = [Position(occurred_at=at, id=number) for at, number in _rows(found)]
    shown = places[:size]
    return Found(
        places=shown[::-1] if newer else shown,
        has_more=len(places) > size,
        stopped_at=stopped_at,
    )


def straight(
    question: Question, columns: Sequence[str], *, after: Position | None, newer: bool, limit: int
) -> Statement | None:
    """Select `columns` of the `limit` events that `find_page` would find, or None where it must look more than once.

    The index that finds an event leads to its row: nothing looks the row up again. Of several lanes each may fill the
    page, so their rows are read when it is known which are on it.
    """
    lead = question.filters[0] if question.filters else None
    if len(question.filters) > 1 or question.sealed_before is not None:
        return None
    if lead is not None and (not lead.leads or len(lead.lanes) > 1):
        return None
    return _candidates(question, lead, columns, after=after, newer=newer, limit=limit)


def _in_steps(
    question: Question,
    lead: Filter | None,
    others: Sequence[Filter],
    *,
    after: Position | None,
    newer: bool,
    most: int,
    until: float,
) -> tuple[list[Position], Position | None]:
    """Look on until `most` are found, nothing is left or patience ends: then also say where."""
    places: list[Position] = []
    place, steps = after, _steps(most)
    while True:
        step = next(steps, LARGEST_STEP)
        found, end = _look(question, lead, others, after=place, newer=newer, step=step, most=most - len(places))
        places += found
        if end is None or len(places) == most:
            return places, None
        if time.monotonic() > until:
            return places, end
        place = end


def _steps(size: int) -> Iterator[int]:
    step = max(size, FIRST_STEP)
    while step < LARGEST_STEP:
        yield step
        step *= GROWTH


def _narrowest(question: Question) -> Filter | None:
    """Choose the filter that fits the fewest events of the span, counted as far as that is cheap."""
    leading = [each for each in question.filters if each.leads]
    if len(leading) < 2:
        return leading[0] if leading else None
    counts = [_candidates(question, each, _PLACE, after=None, newer=False, limit=MOST_COUNTED) for each in leading]
    parts = [f"(SELECT count(*) FROM ({each.sql}) AS counted)" for each in counts]  # noqa: S608 - our names
    (row,) = _rows(Statement(f"SELECT {', '.join(parts)}", [value for each in counts for value in each.values]))
    return min(zip(row, leading, strict=True), key=lambda pair: int(pair[0]))[1]


def _limit_time() -> None:
    """Let no statement of this transaction take long: whoever asks too much hears it soon."""
    with bound_cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(STATEMENT_TIMEOUT_MS)])


def _look(
    question: Question,
    lead: Filter | None,
    others: Sequence[Filter],
    *,
    after: Position | None,
    newer: bool,
    step: int,
    most: int,
) -> tuple[list[Position], Position | None]:
    """Look at `step` candidates: the first `most` that fit, and the last candidate when there may be more."""
    asked = dict.fromkeys(column for each in others for column in each.columns)
    candidates = _candidates(question, lead, [*_PLACE, *asked], after=after, newer=newer, limit=step)
    order = "occurred_at, id" if newer else "occurred_at DESC, id DESC"
    fits = [_fits(each) for each in others]
    if question.sealed_before is not None:
        fits.append(Statement(_SEALED, [question.sealed_before]))
    where = "WHERE " + " AND ".join(each.sql for each in fits) if fits else ""
    sql = (
        f"WITH candidate AS MATERIALIZED ({candidates.sql})"  # noqa: S608 - column names of ours, values are parameters
        f" (SELECT false, occurred_at, id FROM candidate {where} ORDER BY {order} LIMIT %s)"
        f" UNION ALL (SELECT true, occurred_at, id FROM candidate ORDER BY {order} OFFSET %s LIMIT 1)"
    )
    values = [*candidates.values, *(value for each in fits for value in each.values), most, step - 1]
    rows = _rows(Statement(sql, values))
    places = [Position(occurred_at=at, id=number) for is_end, at, number in rows if not is_end]
    end = next((Position(occurred_at=at, id=number) for is_end, at, number in rows if is_end), None)
    return places, end


def _rows(statement: Statement) -> list[tuple[Any, ...]]:
    with bound_cursor() as cursor:
        cursor.execute(statement.sql, statement.values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def _fits(each: Filter) -> Statement:
    marks = ", ".join(f"({', '.join(['%s'] * len(each.columns))})" for _ in each.lanes)
    return Statement(f"({', '.join(each.columns)}) IN ({marks})", [value for lane in each.lanes for value in lane])


def _candidates(
    question: Question,
    lead: Filter | None,
    selected: Sequence[str],
    *,
    after: Position | None,
    newer: bool,
    limit: int,
) -> Statement:
    """Select columns of the first `limit` events in the order of reading that the leading filter lets through.

    `(action, occurred_at) >= (a, start) AND (action, occurred_at) < (a, end)` says no more than `action = a` and the span.
    But an equality would let the planner walk the index of time and throw away what does not fit, for hours if it must.
    """
    columns = lead.columns if lead else ()
    lane = [f"lane.c{number}" for number in range(len(columns))]
    conditions, values = _bounds(question, columns, lane, after=after, newer=newer)
    if columns == ("outcome",):
        conditions.append(f"outcome <> '{Outcome.SUCCESS}'")  # the index is of these only
    if columns == ("request_id",):
        conditions.append("request_id <> ''")
    direction = "ASC" if newer else "DESC"
    order = ", ".join(f"{column} {direction}" for column in (*columns, "occurred_at", "id"))
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    one = f"SELECT {', '.join(selected)} FROM audit_event {where} ORDER BY {order} LIMIT {limit:d}"  # noqa: S608 - our names
    if lead is None:
        return Statement(one, values)
    lanes = ", ".join(["%s::text[]"] * len(columns))
    names = ", ".join(f"c{number}" for number in range(len(columns)))
    whole = (
        # The number of lanes is in the text: a plan for any number costs more, so the server would plan each time.
        f"SELECT found.* FROM (SELECT * FROM unnest({lanes}) LIMIT {len(lead.lanes)}) AS lane ({names})"  # noqa: S608 - our names
        f" CROSS JOIN LATERAL ({one}) AS found"
        f" ORDER BY occurred_at {direction}, id {direction} LIMIT {limit:d}"
    )
    return Statement(whole, [*(list(each) for each in zip(*lead.lanes, strict=True)), *values])


def _bounds(
    question: Question, columns: Sequence[str], lane: Sequence[str], *, after: Position | None, newer: bool
) -> tuple[list[str], list[Any]]:
    """Span and place as comparisons of the columns of one index, one for each end.

    A scan begins at one bound of its side and filters by a second: the end of the span and a later page's place together
    read everything between them.
    """
    conditions: list[str] = []
    values: list[Any] = []

    def bound(sign: str, at: datetime | str, number: int | None = None) -> None:
        left, right = [*columns, "occurred_at"], [*lane, "%s::timestamptz"]
        values.append(at)
        if number is not None:
            left.append("id")
            right.append("%s")
            values.append(number)
        conditions.append(f"({', '.join(left)}) {sign} ({', '.join(right)})")

    start, end = question.start, question.end
    if after is not None and newer and (start is None or after.occurred_at >= start):
        bound(">", after.occurred_at, after.id)
    elif columns or start is not None:
        bound(">=", start or "-infinity")
    if after is not None and not newer and (end is None or after.occurred_at < end):
        bound("<", after.occurred_at, after.id)
    elif columns or end is not None:
        bound("<", end or "infinity")
    return conditions, values
