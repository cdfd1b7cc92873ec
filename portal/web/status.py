"""Show people how every part is and what to do about it; tell programs the same in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.db.utils import Error as DatabaseError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from audit.actor import Actor
from audit.witness.standing import Standing, State, standings
from portal.actors import find_actor
from portal.health import all_parts, status_report
from portal.metrics import is_for_programs
from portal.parts import Part
from portal.web.doors import page
from portal.web.jobs import jobs_for

PURPOSES: Mapping[str, Promise] = {
    "database": _("Holds everything. Its clock decides."),
    "migrations": _("The tables that this version needs."),
    "restore": _("Whether the rows are as new as the log. A restored backup is behind it."),
    "valkey": _("Wakes the workers. Nothing is decided or kept in it."),
    "worker": _("Sends mail, writes down what the clock has ended, retires by plan."),
    "beat": _("Rings for the worker."),
    "mail": _("Tells people what concerns them."),
    "log": _("Events that wait to be sealed; every event is recorded with its act."),
    "witnesses": _("Remember the log's head elsewhere, so that no past can be changed unseen."),
    "dispatch": _("Reads the sealed log and writes notices for those concerned."),
    "jobs": _("Does what is due. The rows say what; a message only wakes."),
    "rotations": _("Replaces secrets while both work."),
    "verifiers": _("Answers services from memory. What was revoked is dead at every one of them."),
    "usage": _("Tells when each key was last used. Verifiers count in files; a worker adds them to the database."),
    "webhooks": _("Tells other programs."),
    "forward": _("Sends the sealed log on to your log server. What it did not get is kept and sent later."),
}
REMEDIES: Mapping[tuple[str, str], Promise] = {
    ("database", "unreachable"): _("Start PostgreSQL and check DATABASE_URL. Until then nothing can be decided."),
    ("database", "clock_skew"): _("Set the clock of this machine by NTP. Decisions go by the clock of the database."),
    ("migrations", "pending"): _("Run prepare_database as the owner of the database, then restart."),
    ("migrations", "unreadable"): _("The database does not tell. See above."),
    ("restore", "unreachable"): _("The database does not tell. See above."),
    ("restore", "behind"): _(
        "A backup was restored. No key verifies until audit_sealer --recover and follow_audit_log have run: "
        "docs/operations.md, after restoring a backup."
    ),
    ("valkey", "unreachable"): _(
        "Start Valkey and check REDIS_URL. Requests, approvals and verification go on; mail waits."
    ),
    ("valkey", "evicts"): _("Set maxmemory-policy to noeviction."),
    ("worker", "never_seen"): _("Start a Celery worker. Keys end by the clock all the same; mail waits."),
    ("worker", "late"): _("The worker was silent for too long. Look at its log and restart it."),
    ("beat", "never_seen"): _("Start the scheduler (Celery beat)."),
    ("beat", "late"): _("The scheduler was silent for too long. Look at its log and restart it."),
    ("mail", "unreachable"): _("Check EMAIL_URL and the mail server. Notices wait and go out later."),
    ("log", "unreachable"): _("The database does not tell. See above."),
    ("log", "unsealed"): _(
        "Start the sealer (audit_sealer), or read its log: it may refuse this database, with an alarm. Until then nothing is "
        "granted: no approval, no secret, no wider right. Stopping keys, signing in and verification go on."
    ),
    ("witnesses", "unreachable"): _("The database does not tell. See above."),
    ("witnesses", "contradicted"): _(
        "Take it for an attack or a restored backup until you know better: a witness remembers another log than this one. "
        "docs/audit-log.md, when a witness contradicts."
    ),
    ("witnesses", "silent"): _(
        "Look whether the witness runs and can be reached from the sealer. Until it is back nobody notices another past."
    ),
    ("jobs", "unreachable"): _("The database does not tell. See above."),
    ("jobs", "late"): _(
        "Start a worker, or another one. Nothing that is due is lost: it stands in rows and is done when somebody comes."
    ),
    ("jobs", "failing"): _("Look at the job below: its code says what went wrong. The rest goes on."),
    ("rotations", "unreachable"): _("The database does not tell. See above."),
    ("rotations", "stuck"): _("Open Rotations: a new secret waits too long to be claimed, or no worker goes on."),
    ("verifiers", "unreachable"): _("The database does not tell. See above."),
    ("verifiers", "silent"): _(
        "No door holds a lease, so none answers: start portal.verify, or read its log. Until then services are told to refuse."
    ),
    ("usage", "put_aside"): _(
        "Files of counts could not be read and were put aside: some uses are missing in last used and in charts. The worker's log "
        "says why. Look into the files that end in .aside; rename one to .uses to have it tried again, or delete it: "
        "docs/operations.md."
    ),
    ("webhooks", "unreachable"): _("The database does not tell. See above."),
    ("webhooks", "late"): _("Deliveries wait. Start a worker, or look at its log."),
    ("webhooks", "given_up"): _(
        "A receiver refused for 75 hours, or is gone, and is told nothing any more. Repair it and enable it on its page."
    ),
    ("forward", "unreachable"): _("The database does not tell. See above."),
    ("forward", "misconfigured"): _(
        "KEYSTEAD_LOG_FORWARD and KEYSTEAD_LOG_FORWARD_URL cannot be used; manage.py check --deploy says why."
    ),
    ("forward", "failing"): _(
        "Look whether the receiver runs, and whether its certificate is one that you named. Nothing is lost; it is tried again by itself."
    ),
    ("forward", "late"): _("The receiver takes less than is recorded. Look at its log and its network."),
    ("dispatch", "unreachable"): _("The database does not tell. See above."),
    ("dispatch", "late"): _("Sealed events wait to be read. Look whether the worker runs, and at the jobs below."),
    ("dispatch", "failing"): _(
        "Nobody could be told of some events, again and again; those behind them went out. The worker's log says why. They are tried "
        "again by themselves, at least daily."
    ),
    ("mail", "given_up"): _(
        "The mail server refused some mails for three days. What their readers have to act on stands on their pages; look at the addresses."
    ),
    ("mail", "unknown"): _("The database does not tell. See above."),
}

WITNESS_STATES: Mapping[State, tuple[Promise, str]] = {
    State.CONTRADICTS: (_("remembers another log"), "danger"),
    State.SILENT: (_("silent"), "danger"),
    State.FAILING: (_("tried again"), "warning"),
    State.WAITING: (_("not asked yet"), "neutral"),
    State.SEES: (_("sees"), "success"),
}


@dataclass(frozen=True)
class Line:
    """One part on the page."""

    part: Part
    purpose: Promise | str
    remedy: Promise | str

    @property
    def reason(self) -> str:
        return self.part.reason.replace("_", " ")


@dataclass(frozen=True)
class WitnessLine:
    """One witness on the page."""

    standing: Standing

    @property
    def words(self) -> Promise:
        return WITNESS_STATES[self.standing.state][0]

    @property
    def tone(self) -> str:
        return WITNESS_STATES[self.standing.state][1]

    @property
    def reason(self) -> str:
        return self.standing.witness.reason.replace("_", " ")


@require_safe
def status(http: HttpRequest) -> HttpResponse:
    """Answer programs that may know in JSON, and people with a page; strangers find nothing."""
    wants_page = http.get_preferred_type(["application/json", "text/html"]) == "text/html"
    if wants_page or (find_actor(http) is not None and not is_for_programs(http)):
        return health_page(http)
    if not is_for_programs(http):
        raise Http404
    return status_report(all_parts())


@page
def health_page(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Show how every part is."""
    parts = all_parts()
    lines = [
        Line(
            part=part,
            purpose=PURPOSES.get(part.name, ""),
            remedy="" if part.ok else REMEDIES.get((part.name, part.reason), part.reason.replace("_", " ")),
        )
        for part in parts
    ]
    context = {"lines": lines, "all_ok": all(part.ok for part in parts), "witnesses": _witnesses(), **jobs_for(actor)}
    return render(http, "web/status.html", context)


def _witnesses() -> list[WitnessLine]:
    try:
        return [WitnessLine(standing=each) for each in standings()]
    except DatabaseError:
        return []  # the part above says so
