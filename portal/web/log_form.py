"""Read what somebody looks for in the log from an address, and say it back in the words they would type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actor import Actor
from audit.events import Outcome
from keys.models import Environment
from keys.reports.finding import Meant, find_actors, find_targets
from keys.reports.labels import actions, names_of
from keys.reports.searches import LogSearch, Subject

TOLD = {
    "from": gettext_lazy("From"),
    "before": gettext_lazy("Before"),
    "actor": gettext_lazy("Who"),
    "action": gettext_lazy("What happened"),
    "target": gettext_lazy("To what"),
    "environment": gettext_lazy("Environment"),
    "outcome": gettext_lazy("Outcome"),
    "request": gettext_lazy("Request id"),
    "sample": gettext_lazy("The draw"),
    "sealed before leaf": gettext_lazy("Sealed before leaf"),
    "leaves": gettext_lazy("Leaves"),
}
NAMES = ("since", "before", "who", "action", "target", "environment", "outcome", "request", "sample", "leaves")
MOMENT_FORMATS = ("%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d")


class Moment(forms.DateTimeField):
    """An instant in UTC: the log has one clock."""

    widget = forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1"}, format="%Y-%m-%dT%H:%M:%S")

    def to_python(self, value: Any) -> datetime | None:
        """Read it; the zone is not the reader's business."""
        found = super().to_python(value)
        return found.replace(tzinfo=UTC) if found is not None else None


class LogForm(forms.Form):
    """The filters of the log."""

    since = Moment(label=gettext_lazy("From (UTC)"), required=False, input_formats=MOMENT_FORMATS)
    before = Moment(label=gettext_lazy("Before (UTC)"), required=False, input_formats=MOMENT_FORMATS)
    who = forms.CharField(label=gettext_lazy("Who"), required=False, max_length=120)
    action = forms.ChoiceField(label=gettext_lazy("What happened"), required=False)
    target = forms.CharField(label=gettext_lazy("To what"), required=False, max_length=120)
    environment = forms.ChoiceField(label=gettext_lazy("Environment"), required=False)
    outcome = forms.ChoiceField(label=gettext_lazy("Outcome"), required=False)
    request = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)
    sample = forms.UUIDField(required=False, widget=forms.HiddenInput)
    leaves = forms.IntegerField(required=False, min_value=0, max_value=2**62, widget=forms.HiddenInput)

    def __init__(self, data: Mapping[str, Any], *, actor: Actor) -> None:
        super().__init__(data)
        self.actor = actor
        self.offers: dict[str, list[Meant]] = {}
        self._choose("action", [(name, f"{words} ({name})") for name, words in actions()], _("anything"))
        tags = Environment.objects.visible_to(actor).order_by("tag").values_list("tag", "name")
        self._choose("environment", list(tags), _("all"))
        self._choose("outcome", [(str(each), str(each)) for each in Outcome], _("any"))
        for name, widget_class in (("since", "form-control"), ("before", "form-control")):
            self.fields[name].widget.attrs["class"] = widget_class

    def _choose(self, name: str, choices: list[tuple[str, str]], empty: str) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", empty), *choices]

    def clean_who(self) -> Subject | None:
        """Find the one who is meant."""
        return self._meant("who", find_actors)

    def clean_target(self) -> Subject | None:
        """Find what is meant."""
        return self._meant("target", find_targets)

    def _meant(self, name: str, find: Callable[..., list[Meant]]) -> Subject | None:
        typed = self.cleaned_data[name].strip()
        if not typed:
            return None
        found = find(typed, actor=self.actor)
        if len(found) == 1:
            if Subject.parse(typed) is not None:
                # An identifier from a link is shown again as an address or a number, as somebody would type it.
                self.data = {**self._typed(), name: found[0].label}
            return found[0].subject
        self.offers[name] = found
        if found:
            raise forms.ValidationError(_("Several fit. Choose one below."), code="several")
        raise forms.ValidationError(_("Nothing and nobody of this name."), code="nobody")

    def clean(self) -> dict[str, Any]:
        """A span has to be one."""
        given = self.cleaned_data
        if given.get("since") and given.get("before") and given["since"] >= given["before"]:
            self.add_error("before", _("This is not after the beginning."))
        return given

    def search(self) -> LogSearch:
        """What is looked for; call it when the form is valid."""
        given = self.cleaned_data
        return LogSearch(
            start=given["since"],
            end=given["before"],
            actor=given["who"],
            actions=(given["action"],) if given["action"] else (),
            target=given["target"],
            environment=given["environment"],
            outcome=given["outcome"],
            request_id=given["request"],
            sample=given["sample"],
            sealed_before=given["leaves"],
        )

    def in_words(self) -> dict[str, str]:
        """What is looked for, to show; nothing while it cannot be read."""
        return in_words(self.search().told())[0] if self.is_valid() else {}

    def canonical(self) -> dict[str, str]:
        """The filter for links: identifiers instead of what was typed."""
        given = self._typed()
        if self.is_valid():
            for name in ("who", "target"):
                subject = self.cleaned_data[name]
                given[name] = subject.text() if subject else ""
        return {name: value for name, value in given.items() if value}

    def query(self, **changes: str) -> str:
        """Write the filter as the query of an address, with some of it changed."""
        wanted = {**self.canonical(), **changes}
        return "?" + urlencode({name: value for name, value in wanted.items() if value})

    def choices_offered(self) -> list[tuple[str, str]]:
        """Links for what a text could mean."""
        return [
            (meant.label, self.query(**{name: meant.subject.text()}))
            for name, found in self.offers.items()
            for meant in found
        ]

    def _typed(self) -> dict[str, str]:
        return {name: str(self.data.get(name, "")) for name in NAMES}


def in_words(*filters: Mapping[str, str]) -> list[dict[str, str]]:
    """Tell filters, as they are recorded, to people: things by their names, and not by the identifiers of rows."""
    meant = names_of(told.get(name, "").partition(" ")[0] for told in filters for name in ("actor", "target"))
    return [
        {str(TOLD.get(name, name)): _in_words(name, value, meant) for name, value in told.items()} for told in filters
    ]


def _in_words(name: str, value: str, meant: Mapping[str, str]) -> str:
    if name == "sample":
        return f"{value[:8]}…"
    subject, blank, parts = value.partition(" ")
    return f"{meant.get(subject, subject)}{blank}{parts}" if name in ("actor", "target") else value
