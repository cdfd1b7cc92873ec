"""Do what is due: find it in the database, call one operation for each, return a count. Safe to run twice.

Each job is a plain function; a message runs it at most once a slot (keys.jobs).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from celery import shared_task
from django.conf import settings

from audit import clock
from audit.actor import Actor
from audit.forwarding.sealed import forward_sealed
from audit.silence import look_for_silence
from keys.approvals.signing import forget_statements
from keys.approvals.submission import lapse_request
from keys.catalogue.services import finish_retirement
from keys.dispatch.cursor import read_all
from keys.dispatch.intents import report_unfinished
from keys.invariants import report_breaches
from keys.jobs.endings import end_overdue
from keys.jobs.kinds import KINDS
from keys.jobs.runs import forget_runs, run_slot
from keys.jobs.sweeping import in_turn, sweep, sweep_each
from keys.lifecycle.rotation_sweeps import abandon_rotation, finish_rotation, hasten_rotation, prepare_rotation
from keys.models import KeyRequest, Rotation, Scope, Service
from keys.monitoring.retirement import retire_by_traffic, ripe_by_traffic
from keys.monitoring.tally_files import add_files
from keys.notifications.chats import tell_chats
from keys.notifications.digests import gather_digests, release_reminders
from keys.notifications.laggards import remind_of_laggards
from keys.notifications.mail import send_waiting
from keys.notifications.reactions import READER, notice_everyone
from keys.notifications.reminders import propose_unused, remind
from keys.people.device_tokens import forget_device_sign_ins
from keys.people.passwords import forget_resets
from keys.people.session_table import forget_dead_sessions
from keys.reports.export_jobs import forget_exports, make_waiting
from keys.reports.inspections import ask_nightly, inspect_waiting
from keys.retention.periods import expire_private_parts
from keys.verification.watching.forgetting import forget_verifying
from keys.verification.watching.integrity import Sweep, sweep_integrity
from keys.verification.watching.retelling import Retelling
from keys.webhooks.delivering import deliver_due
from keys.webhooks.queue import READER as WEBHOOKS
from keys.webhooks.queue import forget_deliveries, queue_deliveries

EXPIRIES = 20  # ranges of leaves in one run, each a transaction; the next run goes on
LONG = 6 * 3600
GRACE_SECONDS = 20
_sweep, _retelling = Sweep(), Retelling()


def react() -> int:
    """Read the log on and write whom it concerns: people, and the chats of teams."""
    return read_all(READER, (notice_everyone, tell_chats))


def send_mail() -> int:
    """Send the mails that wait; by itself, so that a slow mail server holds up mail and nothing else."""
    return send_waiting()


def remind_people() -> int:
    """Remind people of what ends, and gather what can wait into digests."""
    told = remind() + remind_of_laggards()
    return told + release_reminders() + gather_digests()


def propose_unused_keys() -> int:
    """Propose keys that nobody uses for revocation, to their owners."""
    told = propose_unused()
    release_reminders()
    return told


def end_what_is_over() -> int:
    """Write down which versions, requests, services and scopes the clock has ended."""
    kind, at = "keys.end_what_is_over", clock.now()
    lapsed = KeyRequest.objects.lapsed_by(at).order_by("lapses_at")
    services, scopes = (
        model.objects.filter(retired_at=None, retires_at__lte=at).order_by("retires_at") for model in (Service, Scope)
    )
    return in_turn(
        lambda: sweep(kind, lapsed, lapse_request),
        lambda: sweep(kind, services, finish_retirement),
        lambda: sweep(kind, scopes, finish_retirement),
        lambda: end_overdue(kind),
    )


def check_integrity() -> int:
    """Record the versions whose row does not match its MAC, within a minute of the change; tell verifiers again what was deleted."""
    # The sweep first: what it finds put back does not verify any more when verifiers are told to read it.
    return in_turn(lambda: sweep_integrity(_sweep, actor=Actor.job("check_integrity")), _retelling.tell_again)


def rotate() -> int:
    """Take every rotation one step on, as far as the clock says and the clients have moved."""
    kind, at = "keys.rotate", clock.now()
    rows = Rotation.objects
    return in_turn(
        lambda: sweep(kind, rows.due(at).order_by("due_at"), prepare_rotation),
        lambda: sweep_each(kind, ripe_by_traffic(at), retire_by_traffic),
        lambda: sweep(kind, rows.over(at).order_by("pk"), finish_rotation),
        lambda: sweep(kind, rows.untaken(at).order_by("pk"), abandon_rotation),
    )


def follow_policies() -> int:
    """Bring rotations forward that are planned for later than the policy in force now lets a secret live."""
    return sweep("keys.follow_policies", Rotation.objects.beyond_policy().order_by("due_at"), hasten_rotation)


def report_unfinished_intents() -> int:
    """Put on record, and so tell administrators, what was begun five minutes ago and has no outcome; returns how many."""
    return report_unfinished(actor=Actor.job("report_unfinished_intents"))


def expire() -> int:
    """Delete the private parts whose own period is over; returns of how many leaves."""
    actor, expired = Actor.job("expire_private_parts"), 0
    for _ in range(EXPIRIES):
        leaves = expire_private_parts(actor=actor)
        expired += leaves
        if not leaves:
            break
    return expired


def forget() -> int:
    """Delete what served its moment: dead sessions, sign-ins of devices, spent statements, old password links. None of it is governed."""
    before = clock.now() - timedelta(days=1)
    forgotten = forget_dead_sessions() + forget_statements(before=before) + forget_resets(before=before)
    forgotten += forget_verifying(before=before) + forget_device_sign_ins(before=before)
    return forgotten + forget_deliveries() + forget_exports(actor=Actor.job("forget")) + forget_runs()


def forward_log() -> int:
    """Send the sealed log on to the receiver of the settings, if there is one."""
    return forward_sealed()


def watch_sealer() -> int:
    """Alarm, by line and by mail, when nothing is being sealed; returns how many alarms were raised."""
    return int(look_for_silence())


def send_webhooks() -> int:
    """Read the log on for webhooks, and send what is due; returns how many deliveries were accepted."""
    return deliver_due(actor=Actor.job("send_webhooks"), listen=partial(read_all, WEBHOOKS, (queue_deliveries,)))


def make_exports() -> int:
    """Make the files from the log that somebody asked for, one after the other."""
    return make_waiting(actor=Actor.job("make_exports"))


def add_usage() -> int:
    """Add what verifiers on this machine counted in files; returns how many verifications."""
    return add_files(settings.KEYSTEAD_USAGE_FOLDER)


def check_invariants() -> int:
    """Look for rows that break an invariant, and put on record which; returns how many."""
    return report_breaches(actor=Actor.job("check_invariants"))


def inspect_log() -> int:
    """Inspect the whole log once a day and when somebody asked; returns how many inspections ended."""
    ask_nightly()
    return inspect_waiting(actor=Actor.job("inspect_log"))


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a message starts: the work of one kind, how long it may take, and whether the message stays until it is done."""

    work: Callable[[], int]
    seconds: int = 100
    acks_late: bool = True


# What has leases of its own lets go of the message as soon as it is taken: one that is handed out again after the visibility
# timeout would only find the lease held.
JOBS: Mapping[str, Job] = {
    "keys.react": Job(work=react),
    "keys.send_mail": Job(work=send_mail),
    "keys.remind": Job(work=remind_people),
    "keys.propose_unused": Job(work=propose_unused_keys),
    "keys.end_what_is_over": Job(work=end_what_is_over),
    "keys.rotate": Job(work=rotate),
    "keys.follow_policies": Job(work=follow_policies),
    "keys.check_integrity": Job(work=check_integrity),
    "keys.report_unfinished_intents": Job(work=report_unfinished_intents),
    "keys.expire_private_parts": Job(work=expire),
    "keys.forget": Job(work=forget),
    "keys.forward_log": Job(work=forward_log),
    "keys.watch_sealer": Job(work=watch_sealer),
    "keys.send_webhooks": Job(work=send_webhooks, acks_late=False),
    "keys.make_exports": Job(work=make_exports, seconds=LONG, acks_late=False),
    "keys.add_usage": Job(work=add_usage),
    "keys.check_invariants": Job(work=check_invariants),
    "keys.inspect_log": Job(work=inspect_log, seconds=LONG, acks_late=False),
}
# Seconds between two wakes. Beat only wakes: a run is taken by its row, so two beats are harmless.
SCHEDULE: Mapping[str, float] = {name: float(KINDS[name].wake) for name in JOBS}


def _answer(name: str, job: Job) -> None:
    """Let messages of this name do the work, once a slot. They carry nothing: whatever one says, the rows decide."""

    def woken() -> int:
        return run_slot(KINDS[name], job.work)

    shared_task(
        name=name,
        ignore_result=True,
        acks_late=job.acks_late,
        soft_time_limit=job.seconds,
        time_limit=job.seconds + GRACE_SECONDS,
    )(woken)


for _name, _job in JOBS.items():
    _answer(_name, _job)
