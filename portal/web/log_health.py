"""Show auditors whether the log holds: what waits, the signed head, the last inspections; and start one now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actor import Actor, ActorKind
from audit.checkpoints import MOST_COUNTED, backlog, latest_checkpoint
from audit.models import OPEN_INSPECTIONS, AuditInspection, InspectionState
from keys.reports.inspections import ask_inspection, read_inspections
from keys.reports.labels import names_for
from keys.reports.searches import Subject
from portal.web.components import Stat
from portal.web.doors import act, page

WORDS: Mapping[str, tuple[str, Promise]] = {
    InspectionState.WAITING: ("neutral", gettext_lazy("waits for a worker")),
    InspectionState.RUNNING: ("info", gettext_lazy("at work")),
    InspectionState.HELD: ("success", gettext_lazy("the log holds")),
    InspectionState.BROKEN: ("danger", gettext_lazy("the log does not hold")),
    InspectionState.FAILED: ("warning", gettext_lazy("could not be done")),
}


@dataclass(frozen=True)
class Line:
    """One inspection on the page."""

    found: AuditInspection
    who: str

    @property
    def is_open(self) -> bool:
        return self.found.state in OPEN_INSPECTIONS

    @property
    def tone(self) -> str:
        return WORDS[self.found.state][0]

    @property
    def words(self) -> Promise:
        return WORDS[self.found.state][1]


@page
def log_health(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Show how the log is."""
    lines = _lines(actor)
    return render(http, "web/audit/health.html", {"lines": lines, "stats": _stats(), "open": _open(lines)})


@page
def inspection_progress(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Show the inspections alone, for the page that asks every second while one is at work."""
    lines = _lines(actor)
    return render(http, "web/audit/inspections.html", {"lines": lines, "open": _open(lines)})


@act
def inspect_now(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Ask for an inspection of the whole log."""
    ask_inspection(actor=actor)
    messages.success(http, _("The whole log is being hashed again. A worker begins within seconds."))
    return HttpResponseRedirect(reverse("log_health"))


def _lines(actor: Actor) -> list[Line]:
    found = read_inspections(actor=actor)
    asked_by = [Subject.parse(each.asked_by) for each in found]
    names = names_for(each for each in asked_by if each is not None)
    return [
        Line(each, names.of(who) if who and who.kind != ActorKind.JOB else _("every day"))
        for each, who in zip(found, asked_by, strict=True)
    ]


def _open(lines: list[Line]) -> Line | None:
    return next((line for line in lines if line.is_open), None)


def _stats() -> list[Stat]:
    head, waits = latest_checkpoint(), backlog()
    waiting = f"{waits.waiting}+" if waits.waiting == MOST_COUNTED else str(waits.waiting)
    oldest = _("the oldest for %(seconds)d s") % {"seconds": waits.age.total_seconds()}
    return [
        Stat(label=_("Sealed events"), value=head.size if head else 0),
        Stat(
            label=_("Waiting to be sealed"),
            value=waiting,
            note=oldest if waits.waiting else "",
            tone="danger" if waits.is_late else "neutral",
        ),
    ]
