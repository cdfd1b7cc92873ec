"""Do what is due: find it in the database, call one operation for each, return a count. Safe to run twice."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from itertools import islice

import structlog
from celery import shared_task

from audit import clock
from audit.actor import Actor
from audit.forwarding.sealed import forward_sealed
from keys.approvals.signing import forget_statements
from keys.approvals.submission import lapse_request
from keys.catalogue.services import finish_retirement
from keys.dispatch.cursor import read_all
from keys.dispatch.intents import report_unfinished
from keys.errors import KeysError
from keys.invariants import report_breaches
from keys.lifecycle.expiry import end_version
from keys.lifecycle.rotation_course import abandon_rotation, finish_rotation, prepare_rotation
from keys.models import KeyRequest, KeyVersion, Rotation, Scope, Service
from keys.monitoring.retirement import retire_by_traffic, ripe_by_traffic
from keys.notifications.digests import gather_digests, release_reminders
from keys.notifications.mail import send_waiting
from keys.notifications.reactions import READER, notice_everyone
from keys.notifications.reminders import propose_unused, remind
from keys.people.passwords import forget_resets
from keys.people.session_table import forget_dead_sessions
from keys.reports.export_jobs import forget_exports, make_waiting
from keys.reports.inspections import ask_nightly, inspect_waiting
from keys.retention.periods import expire_private_parts
from keys.verification.integrity import sweep_integrity
from keys.webhooks.delivering import deliver_due
from keys.webhooks.queue import READER as WEBHOOKS
from keys.webhooks.queue import forget_deliveries, queue_deliveries

log = structlog.get_logger(__name__)
SWEEP = 500
EXPIRIES = 20  # ranges of leaves in one run, each a transaction; the next run goes on
HOURS = 3600

# Seconds between two wakes. Beat only wakes: what is due stands in rows, so two beats are harmless.
SCHEDULE = {
    "keys.react": 2.0,
    "keys.end_what_is_over": 20.0,
    "keys.rotate": 5.0,
    "keys.report_unfinished_intents": 30.0,
    "keys.check_integrity": 30.0,
    "keys.expire_private_parts": 3600.0,
    "keys.forget": 3600.0,  # beat forgets at a restart when it last woke whom, so nothing waits for a whole day
    "keys.check_invariants": 3600.0,
    "keys.inspect_log": 5.0,
    "keys.make_exports": 2.0,
    "keys.forward_log": 2.0,
    "keys.send_webhooks": 1.0,
    "keys.remind": 600.0,
    "keys.propose_unused": 6 * 3600.0,
}


@shared_task(name="keys.react", ignore_result=True)
def react() -> int:
    """Read the log on, and send what waits, also when an event cannot be reacted to: that one holds up those behind it."""
    try:
        read = read_all(READER, (notice_everyone,))
    finally:
        sent = send_waiting()
    return read + sent


@shared_task(name="keys.remind", ignore_result=True)
def remind_people() -> int:
    """Remind people of what ends, and gather what can wait into digests."""
    told = remind()
    return told + release_reminders() + gather_digests()


@shared_task(name="keys.propose_unused", ignore_result=True)
def propose_unused_keys() -> int:
    """Propose keys that nobody uses for revocation, to their owners."""
    told = propose_unused()
    release_reminders()
    return told


@shared_task(name="keys.end_what_is_over", ignore_result=True)
def end_what_is_over() -> int:
    """Write down which versions, requests, services and scopes the clock has ended."""
    at = clock.now()
    written = 0
    for version in KeyVersion.objects.over_by(at).order_by("pk")[:SWEEP]:
        written += _tried("end_version", end_version, version)
    for request in KeyRequest.objects.lapsed_by(at).order_by("lapses_at")[:SWEEP]:
        written += _tried("lapse_request", lapse_request, request)
    for model in (Service, Scope):
        for row in model.objects.filter(retired_at=None, retires_at__lte=at):
            written += _tried("finish_retirement", finish_retirement, row)
    return written


def _tried(name: str, operation: object, row: object) -> int:
    """One refusal must not hold up the rest; whoever was faster has done the work."""
    try:
        return int(bool(operation(row, actor=Actor.job(name))))  # type: ignore[operator]
    except KeysError as refused:
        log.info("sweep_skipped", operation=name, code=refused.code)
        return 0


@shared_task(name="keys.check_integrity", ignore_result=True)
def check_integrity() -> int:
    """Record the versions whose row does not match its MAC, within a minute of the change."""
    return sweep_integrity(actor=Actor.job("check_integrity"))


@shared_task(name="keys.rotate", ignore_result=True)
def rotate() -> int:
    """Take every rotation one step on, as far as the clock says and the clients have moved."""
    at = clock.now()
    done = 0
    for rotation in Rotation.objects.due(at).order_by("due_at")[:SWEEP]:
        done += _tried("prepare_rotation", prepare_rotation, rotation)
    for rotation in islice(ripe_by_traffic(at), SWEEP):
        done += _tried("retire_by_traffic", retire_by_traffic, rotation)
    for rotation in Rotation.objects.over(at)[:SWEEP]:
        done += _tried("finish_rotation", finish_rotation, rotation)
    for rotation in Rotation.objects.untaken(at)[:SWEEP]:
        done += _tried("abandon_rotation", abandon_rotation, rotation)
    return done


@shared_task(name="keys.report_unfinished_intents", ignore_result=True)
def report_unfinished_intents() -> int:
    """Put on record, and so tell administrators, what was begun five minutes ago and has no outcome; returns how many."""
    return report_unfinished(actor=Actor.job("report_unfinished_intents"))


@shared_task(name="keys.expire_private_parts", ignore_result=True)
def expire() -> int:
    """Delete the private parts whose own period is over; returns of how many leaves."""
    actor, expired = Actor.job("expire_private_parts"), 0
    for _ in range(EXPIRIES):
        leaves = expire_private_parts(actor=actor)
        expired += leaves
        if not leaves:
            break
    return expired


@shared_task(name="keys.forget", ignore_result=True)
def forget() -> int:
    """Delete what served its moment: dead sessions, spent statements, old password links. None of it is governed."""
    before = clock.now() - timedelta(days=1)
    forgotten = forget_dead_sessions() + forget_statements(before=before) + forget_resets(before=before)
    return forgotten + forget_deliveries() + forget_exports(actor=Actor.job("forget"))


@shared_task(name="keys.forward_log", ignore_result=True)
def forward_log() -> int:
    """Send the sealed log on to the receiver of the settings, if there is one."""
    return forward_sealed()


# As inspect_log: the row is the queue.
@shared_task(name="keys.send_webhooks", ignore_result=True, acks_late=False)
def send_webhooks() -> int:
    """Read the log on for webhooks, and send what is due; returns how many deliveries were accepted."""
    return deliver_due(actor=Actor.job("send_webhooks"), listen=partial(read_all, WEBHOOKS, (queue_deliveries,)))


# As inspect_log: the row is the queue.
@shared_task(
    name="keys.make_exports", ignore_result=True, acks_late=False, time_limit=6 * HOURS, soft_time_limit=6 * HOURS - 60
)
def make_exports() -> int:
    """Make the files from the log that somebody asked for, one after the other."""
    return make_waiting(actor=Actor.job("make_exports"))


@shared_task(name="keys.check_invariants", ignore_result=True)
def check_invariants() -> int:
    """Look for rows that break an invariant, and put on record which; returns how many."""
    return report_breaches(actor=Actor.job("check_invariants"))


# The row is the queue and its lease says whether somebody is at it: the message is gone as soon as it is taken, because
# one that is handed out again after the visibility timeout would only find the lease held.
@shared_task(
    name="keys.inspect_log", ignore_result=True, acks_late=False, time_limit=6 * HOURS, soft_time_limit=6 * HOURS - 60
)
def inspect_log() -> int:
    """Inspect the whole log once a day and when somebody asked; returns how many inspections ended."""
    ask_nightly()
    return inspect_waiting(actor=Actor.job("inspect_log"))
