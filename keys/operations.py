"""Make a change the one way: lock, decide, write named columns, record; a denial outlives its rollback."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Literal, ParamSpec, TypeVar, overload

from django.db import OperationalError, models, transaction
from psycopg.errors import DeadlockDetected, LockNotAvailable, QueryCanceled, SerializationFailure

from audit import clock
from audit.actor import Actor
from audit.checkpoints import backlog
from audit.events import Event, Outcome, SecretAttempted
from audit.governed import row_columns
from audit.log import LogUnwritable, PayloadTooLarge, SecretBlocked, record
from keys.errors import Busy, Conflict, Denied, Invalid, NotFound, Unavailable
from keys.events import AccessDenied

P = ParamSpec("P")
R = TypeVar("R")
M = TypeVar("M", bound=models.Model)

# Somebody else holds a row, or the database is too busy to finish in time.
HELD_UP = (LockNotAvailable, DeadlockDetected, SerializationFailure, QueryCanceled)
_depth: ContextVar[int] = ContextVar("operation_depth", default=0)
_rehearsing: ContextVar[bool] = ContextVar("operation_rehearsing", default=False)
# Denials that an act brings about for whoever does it twice, or that only time does.
OF_ITSELF = frozenset({"already_decided", "request_not_pending", "request_lapsed", "key_revoked", "step_up_required"})

Grants = Literal["never", "sometimes", "always"]


@overload
def operation(function: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def operation(*, grants: Grants) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def operation(
    function: Callable[P, R] | None = None, /, *, grants: Grants = "never"
) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
    """Run `function` in one transaction; the outermost operation's commit is the commit.

    A Denied that leaves the outermost operation is recorded as `access.denied` after the rollback, in a transaction of
    its own. A lock not had within the session's `lock_timeout` is Busy (503), and nothing has changed.

    `grants`: whether it opens anything to anybody. What always does is refused while the log is behind, after the policy
    has decided, so that denials stay denials; what sometimes does calls refuse_if_log_is_behind() where it does.
    """
    if function is None:
        return functools.partial(_operation, grants=grants)
    return _operation(function, grants=grants)


def _operation(function: Callable[P, R], *, grants: Grants) -> Callable[P, R]:
    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        depth = _depth.get()
        token = _depth.set(depth + 1)
        try:
            with transaction.atomic(durable=depth == 0):
                result = function(*args, **kwargs)
                _allow_commit(grants=grants, outermost=depth == 0)
                return result
        except Denied as denied:
            if depth == 0:
                _tell_of(denied, function.__name__, args, kwargs)
            raise
        except SecretBlocked as blocked:
            if depth == 0:
                teller: Any = kwargs["actor"]
                record_blocked_secret(blocked, actor=teller)
                raise Invalid.field("text", "contains_secret") from blocked
            raise
        except PayloadTooLarge as large:
            raise Invalid.field("text", "too_much_at_once") from large
        except LogUnwritable as error:
            raise Unavailable("log_unwritable") from error
        except OperationalError as error:
            if isinstance(error.__cause__, HELD_UP):
                raise Busy from error
            raise
        finally:
            _depth.reset(token)

    run.is_operation = True  # type: ignore[attr-defined]
    run.grants = grants  # type: ignore[attr-defined]
    return run


def _allow_commit(*, grants: Grants, outermost: bool) -> None:
    if grants == "always":
        refuse_if_log_is_behind()
    if outermost and _rehearsing.get():
        raise Rehearsed


def _tell_of(denied: Denied, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:  # Any: the operation's
    if _rehearsing.get() and denied.code in OF_ITSELF:
        raise Rehearsed from denied
    actor = kwargs["actor"]
    subject, correlation = args[0] if args else None, str(kwargs.get("correlation", ""))
    record_denial(denied, operation=name, subject=subject, actor=actor, correlation=correlation)
    if denied.alarm is not None:
        _record_after_rollback(denied.alarm, actor=actor)


class Rehearsed(Exception):
    """Nobody is refused who asks for this again, and nothing was changed."""


@contextmanager
def rehearsal() -> Iterator[None]:
    """Try what was done before: Denied and NotFound where this actor may not do it any more, and never a change.

    What only stands in the way because it was done once is no refusal, nor is presence that was proved for the first time.
    """
    token = _rehearsing.set(True)
    try:
        with suppress(Rehearsed):
            yield
    finally:
        _rehearsing.reset(token)


def refuse_if_log_is_behind() -> None:
    """Refuse to open anything while the log is not sealed in time: what is granted could still be unmade unseen.

    Never before stopping: revocation, suspension, retirement, denial and signing in do not ask (docs/decisions/042).
    """
    if log_is_behind():
        raise Unavailable("audit_behind")


def log_is_behind() -> bool:
    """Tell whether an event waits to be sealed for too long, or too many do: then nothing is granted."""
    return backlog().is_late


def locked(row: M) -> M:
    """Lock the row of `row` until the end of the transaction and read it again; what was read before may be stale."""
    fresh = type(row)._base_manager.select_for_update(of=("self",), no_key=True).filter(pk=row.pk).first()
    if fresh is None:
        raise NotFound
    return fresh


def insert(row: M, event: type[Event], *, actor: Actor, at: datetime, **facts: Any) -> M:
    """Write a new governed row and the event that tells every one of its governed columns."""
    row.save(force_insert=True)
    change = {column: (None, value) for column, value in row_columns(row).items() if value is not None}
    record(event(target_id=str(row.pk), change=change, **facts), actor=actor, at=at)
    return row


def update(
    row: M,
    event: type[Event],
    *,
    actor: Actor,
    at: datetime,
    columns: Mapping[str, Any],
    expected: Mapping[str, Any] | None = None,
    forget: Collection[str] = (),
    **facts: Any,
) -> M:
    """Change named columns of one row while `expected` still holds (compare and swap), and record old and new.

    The old value of a column in `forget` is told as None: an erasure must not write down what it erases.

    Raises Conflict("changed_meanwhile") when another writer was first. Never a full-row save: that brought revoked keys back.
    """
    told = [str(row._meta.get_field(name).column) for name in columns]  # type: ignore[union-attr]
    before = row_columns(row, told)
    if columns and not type(row)._base_manager.filter(pk=row.pk, **(expected or {})).update(**columns):
        raise Conflict("changed_meanwhile")
    for name, value in columns.items():
        setattr(row, name, value)
    after = row_columns(row, told)
    told_before = {name: None if name in forget else value for name, value in before.items()}
    change = {name: (told_before[name], after[name]) for name in after if before[name] != after[name]}
    record(event(target_id=str(row.pk), change=change, **facts), actor=actor, at=at)
    return row


def record_blocked_secret(blocked: SecretBlocked, *, actor: Actor) -> None:
    """Write that an event was refused because it held something that looks like a secret (never the secret)."""
    _record_after_rollback(SecretAttempted(target_id="-", reason=blocked.kind), actor=actor)


def record_denial(denied: Denied, *, operation: str, subject: object, actor: Actor, correlation: str = "") -> None:
    """Write one `access.denied`."""
    target = subject if isinstance(subject, models.Model) else None
    event = AccessDenied(
        target_id=str(target.pk) if target is not None else "-",
        operation=operation,
        subject=target._meta.model_name or "-" if target is not None else "-",
        reason=denied.code,
        rule=denied.rule,
        outcome=Outcome.DENIED,
        correlation=correlation,
    )
    _record_after_rollback(event, actor=actor)


def record_unseen(operation: str, *, actor: Actor, number: int | None = None) -> None:
    """Write that somebody tried to act on what does not exist for them; whether it exists is not looked up.

    `number`: what they named it by. Never text from an address: it may be a secret.
    """
    event = AccessDenied(
        target_id="-" if number is None else str(number),
        operation=operation,
        subject="-",
        reason="not_found",
        rule="reach",
        outcome=Outcome.DENIED,
    )
    _record_after_rollback(event, actor=actor)


def _record_after_rollback(event: Event, *, actor: Actor) -> None:
    """Record in a transaction of its own what must outlive the rollback; without the log there is no answer either."""
    try:
        with transaction.atomic():
            record(event, actor=actor, at=clock.now())
    except LogUnwritable as error:
        raise Unavailable("log_unwritable") from error
