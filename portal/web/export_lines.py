"""Say in words how far an export from the log is, who asked for it, and what it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.exporters import bundle, csv_table, json_lines, ocsf
from audit.models import OPEN_EXPORTS, AuditExport, ExportState
from keys.reports.labels import names_for
from keys.reports.searches import Subject
from keys.words import sentence_for

WORDS: Mapping[str, tuple[str, Promise]] = {
    ExportState.WAITING: ("neutral", gettext_lazy("waits for a worker")),
    ExportState.RUNNING: ("info", gettext_lazy("in the making")),
    ExportState.DONE: ("success", gettext_lazy("ready")),
    ExportState.FAILED: ("danger", gettext_lazy("failed")),
    ExportState.EXPIRED: ("neutral", gettext_lazy("deleted")),
    ExportState.CANCELLED: ("neutral", gettext_lazy("cancelled")),
}
FORMS: Mapping[str, Promise] = {
    csv_table.FORM: gettext_lazy("CSV"),
    json_lines.FORM: gettext_lazy("JSON Lines"),
    ocsf.FORM: gettext_lazy("OCSF"),
    bundle.FORM: gettext_lazy("Evidence bundle"),
}


@dataclass(frozen=True)
class Line:
    """One export on the page."""

    export: AuditExport
    who: str
    about: str

    @property
    def is_open(self) -> bool:
        return self.export.state in OPEN_EXPORTS

    @property
    def is_ready(self) -> bool:
        return self.export.state == ExportState.DONE

    @property
    def tone(self) -> str:
        return WORDS[self.export.state][0]

    @property
    def words(self) -> Promise | str:
        if self.export.state == ExportState.RUNNING and self.export.event_uid is not None:
            return _("waits to be sealed")
        return WORDS[self.export.state][1]

    @property
    def form(self) -> Promise | str:
        return FORMS.get(self.export.form, self.export.form)

    @property
    def is_bundle(self) -> bool:
        return self.export.form == bundle.FORM

    @property
    def scope(self) -> list[tuple[str, str]]:
        return sorted(self.export.searched.items())

    @property
    def problem(self) -> str:
        """Why it failed, in words where the code has some."""
        return sentence_for(self.export.error) or self.export.error.replace("_", " ")

    @property
    def sha256(self) -> str:
        return bytes(self.export.sha256).hex()


def lines_of(exports: Sequence[AuditExport]) -> list[Line]:
    """One line for each, with the names of who asked for it and of what it is about."""
    people = [Subject.parse(each.requested_by) for each in exports]
    things = [subject_in(each.searched) for each in exports]
    names = names_for(each for each in (*people, *things) if each is not None)
    return [
        Line(each, names.of(who) if who else "", names.of(thing) if thing else "")
        for each, who, thing in zip(exports, people, things, strict=True)
    ]


def subject_in(told: Mapping[str, str]) -> Subject | None:
    """What a filter is about; behind a key its parts are told too."""
    return Subject.parse(told.get("target", "").partition(" ")[0])
