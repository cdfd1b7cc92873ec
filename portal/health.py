"""Say whether this process lives, may be sent work, and how the parts around it are."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import redis
from django.core.mail import get_connection
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.utils import Error as DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from audit.checkpoints import LATE, MOST_COUNTED, backlog
from audit.forwarding import sealed as forwarding
from audit.interruptions import is_interrupted
from audit.witness.standing import State, standings
from keys.dispatch.cursor import lag_of
from keys.dispatch.failures import unanswered
from keys.notifications.mail import given_up_lately
from keys.notifications.reactions import READER
from portal import pulses
from portal.job_health import jobs_part, rotations_part, webhooks_part
from portal.parts import Part
from portal.verifier_health import usage_part, verifiers_part

GREATEST_SKEW: Final = timedelta(seconds=2)
MAIL_CHECK_PERIOD: Final = 30.0
MOST_BEHIND: Final = 5_000  # sealed events that were not forwarded yet; more than a busy minute


def database_part() -> Part:
    """Ask the database for its time, and compare it with ours: decisions use the database's."""
    try:
        with connection.cursor() as cursor:
            before = datetime.now(tz=UTC)
            cursor.execute("SELECT clock_timestamp()")
            (theirs,) = cursor.fetchone()
            after = datetime.now(tz=UTC)
    except DatabaseError:
        return Part(name="database", label=_("Database"), ok=False, reason="unreachable")
    skew = max(before - theirs, theirs - after, timedelta())
    if skew > GREATEST_SKEW:
        detail = f"{skew.total_seconds():.1f} s"
        return Part(name="database", label=_("Database"), ok=False, reason="clock_skew", detail=detail)
    return Part(name="database", label=_("Database"), ok=True)


_migrated = False  # a process that once saw all its migrations applied will not see them vanish


def migrations_part() -> Part:
    """Tell whether the database has every migration that this code needs."""
    global _migrated
    label = _("Migrations")
    if not _migrated:
        try:
            executor = MigrationExecutor(connection)
            _migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
        except DatabaseError:
            return Part(name="migrations", label=label, ok=False, reason="unreadable")
    return Part(name="migrations", label=label, ok=_migrated, reason="" if _migrated else "pending")


def valkey_part() -> Part:
    """Ask Valkey for a pong, and that it forgets nothing under pressure."""
    label = _("Valkey")
    try:
        client = pulses.valkey()
        policy = client.config_get("maxmemory-policy").get("maxmemory-policy", "")
    except redis.exceptions.NoPermissionError:
        return Part(name="valkey", label=label, ok=True, detail="policy unknown")
    except redis.ResponseError:
        return Part(name="valkey", label=label, ok=True, detail="policy unknown")
    except redis.RedisError:
        return Part(name="valkey", label=label, ok=False, reason="unreachable")
    evicts = policy != "noeviction"
    return Part(name="valkey", label=label, ok=not evicts, reason="evicts" if evicts else "")


def pulse_part(name: str, label: str | Promise) -> Part:
    """Tell whether the worker or the beat has been heard of lately."""
    try:
        age = pulses.age(name)
    except redis.RedisError:
        return Part(name=name, label=label, ok=False, reason="unknown")
    if age is None:
        return Part(name=name, label=label, ok=False, reason="never_seen")
    late = age > pulses.LATE_SECONDS
    return Part(name=name, label=label, ok=not late, reason="late" if late else "", detail=f"{age:.0f} s")


_mail: tuple[float, Part] | None = None  # strangers may ask for /status; they shall not drive our mail server


def mail_part() -> Part:
    """Open a connection to the mail server, at most every half minute, and count the mails that it refused for good."""
    global _mail
    if _mail is not None and time.monotonic() - _mail[0] < MAIL_CHECK_PERIOD:
        return _mail[1]
    label = _("Mail")
    try:
        server = get_connection(fail_silently=False)
        server.open()
        server.close()
        lost = given_up_lately()
        reason, detail = ("given_up", str(lost)) if lost else ("", "")
        part = Part(name="mail", label=label, ok=not lost, reason=reason, detail=detail)
    except DatabaseError:
        return Part(name="mail", label=label, ok=False, reason="unknown")
    except OSError:
        part = Part(name="mail", label=label, ok=False, reason="unreachable")
    _mail = (time.monotonic(), part)
    return part


def log_part() -> Part:
    """Count the events that wait to be sealed, and tell when one has waited for too long."""
    label = _("Audit log")
    try:
        found = backlog()
    except DatabaseError:
        return Part(name="log", label=label, ok=False, reason="unreachable")
    waiting = f"{found.waiting}+" if found.waiting == MOST_COUNTED else str(found.waiting)
    if found.is_late:
        detail = f"{waiting}, {found.age.total_seconds():.0f} s"
        return Part(name="log", label=label, ok=False, reason="unsealed", detail=detail)
    return Part(name="log", label=label, ok=True, detail=waiting)


def dispatch_part() -> Part:
    """Tell how far the reader that writes notices is behind the newest sealed event."""
    label = _("Notices")
    try:
        found = lag_of(READER)
    except DatabaseError:
        return Part(name="dispatch", label=label, ok=False, reason="unreachable")
    detail = f"{found.leaves}, {found.age.total_seconds():.0f} s" if found.leaves else "0"
    # What is not sealed yet is the sealer's backlog; there is a part for that.
    late = bool(found.leaves) and found.age > LATE
    if not late and (count := unanswered()):
        return Part(name="dispatch", label=label, ok=False, reason="failing", detail=str(count))
    return Part(name="dispatch", label=label, ok=not late, reason="late" if late else "", detail=detail)


def restore_part() -> Part:
    """Tell whether this database was restored and does not follow its log yet: then nobody may be let in."""
    label = _("Restored database")
    try:
        behind = is_interrupted()
    except DatabaseError:
        return Part(name="restore", label=label, ok=False, reason="unreachable")
    return Part(name="restore", label=label, ok=not behind, reason="behind" if behind else "")


def forward_part() -> Part | None:
    """Tell whether the sealed log reaches the receiver that the settings name; None when they name none."""
    label = _("Log forwarding")
    try:
        found = forwarding.state()
    except DatabaseError:
        return Part(name="forward", label=label, ok=False, reason="unreachable")
    except (ImportError, ValueError):
        return Part(name="forward", label=label, ok=False, reason="misconfigured")
    if found is None:
        return None
    reason = "failing" if found.problem else "late" if found.behind > MOST_BEHIND else ""
    detail = f"{found.behind}, {found.problem.replace('_', ' ')}" if found.problem else str(found.behind)
    return Part(name="forward", label=label, ok=not reason, reason=reason, detail=detail)


def witnesses_part() -> Part | None:
    """Tell whether those who remember the log's head still do, and remember this log; None when nobody is asked to."""
    label = _("Witnesses")
    try:
        found = standings()
    except DatabaseError:
        return Part(name="witnesses", label=label, ok=False, reason="unreachable")
    if not found:
        return None
    states = {each.state for each in found}
    detail = f"{sum(each.state == State.SEES for each in found)}/{len(found)}"
    if State.CONTRADICTS in states:
        return Part(name="witnesses", label=label, ok=False, reason="contradicted", detail=detail)
    if State.SILENT in states:
        return Part(name="witnesses", label=label, ok=False, reason="silent", detail=detail)
    return Part(name="witnesses", label=label, ok=True, detail=detail)


READINESS: Final[tuple[Callable[[], Part], ...]] = (database_part, migrations_part, restore_part)
# Later rooms add their part here; one that is not in use is None.
PARTS: list[Callable[[], Part | None]] = [
    *READINESS,
    valkey_part,
    partial(pulse_part, pulses.WORKER, _("Worker")),
    partial(pulse_part, pulses.BEAT, _("Scheduler")),
    mail_part,
    log_part,
    witnesses_part,
    dispatch_part,
    jobs_part,
    rotations_part,
    verifiers_part,
    usage_part,
    webhooks_part,
    forward_part,
]


def _report(parts: list[Part]) -> Mapping[str, object]:
    return {
        "status": "ok" if all(part.ok for part in parts) else "degraded",
        "parts": {part.name: {"ok": part.ok, "reason": part.reason} for part in parts},
    }


@require_safe
def healthz(_http: HttpRequest) -> HttpResponse:
    """Answer as long as the process can answer at all."""
    return JsonResponse({"status": "alive"})


@require_safe
def readyz(_http: HttpRequest) -> HttpResponse:
    """Tell a load balancer whether to send work here."""
    parts = [ask() for ask in READINESS]
    return JsonResponse(_report(parts), status=200 if all(part.ok for part in parts) else 503)


def all_parts() -> list[Part]:
    """Ask every part how it is. A part that is down does not take the others down."""
    return [part for ask in PARTS if (part := ask()) is not None]


def status_report(parts: list[Part]) -> JsonResponse:
    """Tell programs how every part is."""
    return JsonResponse(_report(parts))
