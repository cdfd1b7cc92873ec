"""Take events out of the log: at once when they are few, else as a file that a worker makes, with its history and progress."""

from __future__ import annotations

import tempfile
import zipfile
from contextlib import ExitStack
from typing import Any, BinaryIO, cast
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actor import Actor
from audit.checkpoints import latest_checkpoint
from audit.exporters import bundle, csv_table, json_lines, ocsf
from audit.exporters.manifest import file_name
from keys.errors import Conflict, Invalid
from keys.reports.export_scopes import Leaves, Wanted
from keys.reports.exports import (
    PAGE_SIZE,
    Download,
    cancel_export,
    may_cancel,
    read_export,
    read_exports,
    request_export,
    take_export,
)
from keys.reports.log import enter_log, export_log
from portal.accounts.step_up import StepUpProblem, confirm, fields
from portal.actors import actor_of
from portal.web.doors import act, form_page, page
from portal.web.export_lines import FORMS, lines_of
from portal.web.log_form import LogForm
from portal.web.reasons import mark

FILTERED, RANGE = "filter", "range"


class ExportForm(forms.Form):
    """What to take out, and as what."""

    form = forms.ChoiceField(
        label=gettext_lazy("Form"),
        choices=[
            (csv_table.FORM, gettext_lazy("CSV, for a spreadsheet; no cell can run as a formula")),
            (json_lines.FORM, gettext_lazy("JSON Lines, the exact bytes that were recorded")),
            (ocsf.FORM, gettext_lazy("OCSF, for security tools")),
            (
                bundle.FORM,
                gettext_lazy("Evidence bundle: the events with proofs, a summary, and the program that verifies them"),
            ),
        ],
        widget=forms.RadioSelect,
        initial=csv_table.FORM,
    )
    scope = forms.ChoiceField(
        label=gettext_lazy("Which events"),
        choices=[
            (FILTERED, gettext_lazy("What the filter finds: proves that it is in the log, not that it is all")),
            (RANGE, gettext_lazy("Every sealed event between two places of the log: proves that none is missing")),
        ],
        widget=forms.RadioSelect,
        required=False,
        initial=FILTERED,
    )
    from_leaf = forms.IntegerField(
        label=gettext_lazy("From leaf"),
        required=False,
        min_value=0,
        max_value=2**53,
        help_text=gettext_lazy("For a range. Empty: from the first."),
    )
    upto_leaf = forms.IntegerField(
        label=gettext_lazy("Up to, and without, leaf"),
        required=False,
        min_value=1,
        max_value=2**53,
        help_text=gettext_lazy("For a range. Empty: up to the newest checkpoint."),
    )
    with_ocsf = forms.BooleanField(label=gettext_lazy("In a bundle: the events in OCSF too"), required=False)
    with_private = forms.BooleanField(
        label=gettext_lazy("With private parts: names, addresses and free text of people"),
        required=False,
        help_text=gettext_lazy("Only if you need them. That you took them is on record."),
    )

    def wanted(self, search: LogForm) -> Wanted:
        """What is to be taken out; call it when both forms are valid."""
        given = self.cleaned_data
        if given["scope"] != RANGE:
            return search.search()
        head = latest_checkpoint()
        upto = given["upto_leaf"] if given["upto_leaf"] is not None else head.size if head else 0
        return Leaves(from_leaf=given["from_leaf"] or 0, upto_leaf=upto)


@form_page
def export(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Ask what to take out; give it at once, or have a worker make it."""
    enter_log(actor=actor)
    search = LogForm(http.GET, actor=actor)
    form = http.GET.get("form", "")
    asked = ExportForm(http.POST if http.method == "POST" else None, initial={"form": form} if form in FORMS else None)
    problem: StepUpProblem | None = None
    if http.method == "POST" and asked.is_valid() and search.is_valid():
        problem = confirm(http, "export")
        if problem is None:
            try:
                return _take_out(http, asked, asked.wanted(search), actor=actor_of(http))
            except Invalid as invalid:
                mark(asked, invalid)
    context = {
        "search": search,
        "told": search.in_words(),
        "form": asked,
        "back": reverse("audit") + search.query(),
        "step_up": fields(http, "export", problem=problem),
    }
    refused = not search.is_valid() or (asked.is_bound and not asked.is_valid())
    status = problem.status if problem else 422 if refused else 200
    return render(http, "web/audit/export.html", context, status=status)


def _take_out(http: HttpRequest, asked: ExportForm, wanted: Wanted, *, actor: Actor) -> HttpResponse:
    given = asked.cleaned_data
    if not isinstance(wanted, Leaves) and given["form"] != bundle.FORM and not given["with_private"]:
        try:
            return _at_once(wanted, given["form"], actor=actor)
        except Conflict as conflict:
            if conflict.code != "export_too_large":
                raise
    made = request_export(
        wanted, form=given["form"], actor=actor, with_private=given["with_private"], with_ocsf=given["with_ocsf"]
    )
    messages.success(http, _("A worker makes the file. It is kept here until it expires."))
    return HttpResponseRedirect(reverse("audit_export_file", args=[made.uid]))


def _at_once(wanted: Any, form: str, *, actor: Actor) -> HttpResponse:  # Any: a LogSearch, narrowed by the caller
    """Write the export to a file that vanishes when it was sent; it never lies in memory as a whole."""
    with ExitStack() as unless_sent:
        file = unless_sent.enter_context(tempfile.TemporaryFile())
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
            with packed.open(file_name(form), "w", force_zip64=True) as into:
                manifest = export_log(wanted, form=form, into=cast("BinaryIO", into), actor=actor)
            packed.writestr("manifest.json", manifest.encoded())
        file.seek(0)
        unless_sent.pop_all()  # from here on the answer closes it
    return _answer(file, f"keystead-log-{manifest.exported_at:%Y%m%dT%H%M%SZ}.zip")


def _history(http: HttpRequest, actor: Actor) -> dict[str, Any]:
    before = _uuid(http.GET.get("before", ""))
    found = read_exports(actor=actor, before=before)
    lines = lines_of(found[:PAGE_SIZE])
    return {
        "lines": lines,
        "polls": any(line.is_open for line in lines),
        "here": http.GET.urlencode(),
        "older": f"?before={lines[-1].export.uid}" if len(found) > PAGE_SIZE else "",
        "newest": before is not None,
    }


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None  # links grow old, and an old link is no attack


@page
def exports(http: HttpRequest, actor: Actor) -> HttpResponse:
    """List what was taken out by workers, and how far they are."""
    return render(http, "web/audit/exports.html", _history(http, actor))


@page
def exports_progress(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Show the list alone, for the page that asks every second while a worker is at it."""
    return render(http, "web/audit/export_rows.html", _history(http, actor))


@form_page
def export_file(http: HttpRequest, actor: Actor, uid: UUID) -> HttpResponse:
    """Show one export; hand its file out after a confirmation."""
    found = read_export(uid, actor=actor)
    problem: StepUpProblem | None = None
    if http.method == "POST":
        problem = confirm(http, "export")
        if problem is None:
            download: Download = take_export(uid, actor=actor_of(http))
            return _answer(download.path.open("rb"), download.name)
    (line,) = lines_of([found])
    context = {
        "line": line,
        "may_cancel": line.is_open and may_cancel(found, actor=actor),
        "step_up": fields(http, "export", problem=problem),
    }
    return render(http, "web/audit/export_file.html", context, status=problem.status if problem else 200)


@act
def cancel(http: HttpRequest, actor: Actor, uid: UUID) -> HttpResponse:
    """Take back what waits for a worker or is being made."""
    cancel_export(uid, actor=actor)
    messages.success(http, _("Cancelled. No file is left of it."))
    return HttpResponseRedirect(reverse("audit_export_file", args=[uid]))


@page
def export_progress(http: HttpRequest, actor: Actor, uid: UUID) -> HttpResponse:
    """Show how far one export is, for its page; the whole page comes anew when it has ended."""
    (line,) = lines_of([read_export(uid, actor=actor)])
    answer = render(http, "web/audit/export_progress.html", {"line": line})
    if not line.is_open:
        answer["HX-Refresh"] = "true"
    return answer


def _answer(file: Any, name: str) -> HttpResponse:  # Any: any open binary file
    return cast("HttpResponse", FileResponse(file, as_attachment=True, filename=name, content_type="application/zip"))
