"""Show administrators how every job is, and let them say how often each runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db.utils import Error as DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit import clock
from audit.actor import Actor
from keys.errors import NotFound
from keys.jobs.due import MOST_COUNTED
from keys.jobs.kinds import KINDS, Kind
from keys.jobs.overview import JobState, read_jobs, read_troubled_rows
from keys.jobs.schedules import change_schedule
from keys.models import JobLease, JobSchedule
from keys.people.standing import standing_of
from keys.policy.job_rules import may_change_schedule, may_read_jobs
from keys.policy.step_up import but_for_step_up
from keys.reports.labels import names_for
from keys.reports.searches import Subject
from keys.states import Role
from keys.words import sentence_for
from portal.web.attempts import attempt
from portal.web.doors import form_page

# What to do about the codes that jobs meet and people do not; docs/operations.md says more.
REMEDIES: Mapping[str, Promise] = {
    "": gettext_lazy("Its worker fell silent. Another one takes it by itself; if it comes back, read the worker's log."),
    "audit_behind": gettext_lazy("The log is not sealed in time, so nothing is granted. Start the sealer; this goes on by itself."),
    "busy_retry": gettext_lazy("Somebody else held the row for long. It is tried again by itself."),
    "operational_error": gettext_lazy("The database refused or went away. It is tried again by itself; look at PostgreSQL's log."),
    "soft_time_limit_exceeded": gettext_lazy("There was more to do than fits one run. The next one goes on; add a worker if it is late."),
}  # fmt: skip
UNKNOWN = gettext_lazy("Look for this code in the worker's log. It is tried again every hour; the other rows go on.")


@dataclass(frozen=True)
class JobLine:
    """One kind of job on the page."""

    state: JobState

    @property
    def tone(self) -> str:
        return "success" if self.state.is_well else "danger"

    @property
    def words(self) -> str:
        if self.state.is_late:
            return _("late")
        return _("failing") if self.state.is_failing else _("works")

    @property
    def due(self) -> str:
        due = self.state.due
        if due is None:
            return "—"
        return f"{due.count:,}+" if due.count == MOST_COUNTED else f"{due.count:,}"

    @property
    def code(self) -> str:
        return self.state.last.code.replace("_", " ") if self.state.last is not None else ""

    @property
    def remedy(self) -> str | Promise:
        last = self.state.last
        return remedy_for(last.code) if last is not None and last.code else ""


@dataclass(frozen=True)
class TroubleLine:
    """One row that could not be done, or that a worker left."""

    lease: JobLease
    subject: str

    @property
    def job(self) -> str | Promise:
        kind = KINDS.get(self.lease.kind)
        return kind.label if kind is not None else self.lease.kind

    @property
    def step(self) -> str:
        return self.lease.step.replace("_", " ")

    @property
    def code(self) -> str:
        return self.lease.code.replace("_", " ") or _("left by its worker")

    @property
    def remedy(self) -> str | Promise:
        return remedy_for(self.lease.code)


class PeriodForm(forms.Form):
    """How often."""

    period_seconds = forms.IntegerField(label=gettext_lazy("Every so many seconds"), min_value=1)

    def __init__(self, *given: Any, kind: Kind, **named: Any) -> None:  # Any: Django's options
        super().__init__(*given, **named)
        self.fields["period_seconds"].help_text = _(
            "From %(least)d to %(most)d: it is woken every %(least)d seconds, and what is promised allows no more than %(most)d."
        ) % {"least": kind.wake, "most": kind.longest}


def remedy_for(code: str) -> str | Promise:
    """What to do about a code. Words that have to be filled say nothing here: a row keeps the code alone."""
    words = sentence_for(code)
    return REMEDIES.get(code) or (words if words and "%(" not in words else UNKNOWN)


def jobs_for(actor: Actor) -> dict[str, Any]:
    """What the health page shows of jobs to those who answer for the whole; nothing to others."""
    at = clock.now()
    who = standing_of(actor, at=at)
    if not may_read_jobs(who):
        return {}
    try:
        return {
            "jobs": [JobLine(each) for each in read_jobs(actor=actor)],
            "troubles": _troubles(actor),
            "may_reschedule": who.has(Role.ADMINISTRATOR),
        }
    except DatabaseError:
        return {}  # the part above says so


def _troubles(actor: Actor) -> list[TroubleLine]:
    leases = read_troubled_rows(actor=actor)
    about = {each.pk: Subject(each.subject_type, str(each.subject_id)) for each in leases}
    names = names_for(about.values())
    return [TroubleLine(each, names.of(about[each.pk])) for each in leases]


@form_page
def reschedule(http: HttpRequest, actor: Actor, uid: UUID) -> HttpResponse:
    """Say how often a kind of job runs."""
    schedule = JobSchedule.objects.visible_to(actor).filter(pk=uid, kind__in=KINDS).first()
    at = clock.now()
    decision = may_change_schedule(actor, standing_of(actor, at=at), at=at)
    if schedule is None or not but_for_step_up(decision):
        raise NotFound
    kind = KINDS[schedule.kind]
    form = PeriodForm(
        http.POST if http.method == "POST" else None, kind=kind, initial={"period_seconds": schedule.period_seconds}
    )

    def changed(who: Actor) -> HttpResponse:
        change_schedule(schedule, period_seconds=form.cleaned_data["period_seconds"], actor=who)
        messages.success(http, _("Changed. It counts from the next slot on."))
        return HttpResponseRedirect(reverse("health"))

    tried = attempt(http, form, purpose="policy", act_on=changed)
    if isinstance(tried, HttpResponse):
        return tried
    context = {"form": form, "kind": kind, "step_up": tried.step_up}
    return render(http, "web/job_schedule.html", context, status=tried.status)
