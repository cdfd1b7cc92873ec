"""Ask which keys an emergency is about, and have the list confirmed."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actor import Actor
from keys.lifecycle.emergency import Measure
from keys.lifecycle.emergency_lists import MOST_KEYS, EmergencyFilter
from keys.models import Environment, Person, Service, Team
from portal.web.confirmation import TypedConfirmation
from portal.web.stopping import choices_of
from portal.web.wording import REVOCATION_CHOICES

_NUMBER = re.compile(r"(?:KEY-)?([0-9]{1,12})", re.IGNORECASE)
_LONGEST = 16 * MOST_KEYS
MEASURES = [
    (str(Measure.REVOKE), gettext_lazy("Stop them all: every version is dead at once and for good.")),
    (
        str(Measure.ROTATE),
        gettext_lazy(
            "Replace all secrets: each works until its owner has claimed the next one, and ends at that moment."
        ),
    ),
]


class FilterForm(forms.Form):
    """All that is chosen must fit; a list of numbers is taken as it is."""

    team = forms.ModelChoiceField(
        label=gettext_lazy("Owner team"), queryset=Team.objects.visible_to(None), to_field_name="slug", required=False
    )
    service = forms.ModelChoiceField(
        label=gettext_lazy("Service"), queryset=Service.objects.visible_to(None), to_field_name="slug", required=False
    )
    environment = forms.ModelChoiceField(
        label=gettext_lazy("Environment"),
        queryset=Environment.objects.visible_to(None),
        to_field_name="tag",
        required=False,
    )
    recipient = forms.ModelChoiceField(
        label=gettext_lazy("Person who holds the secrets"), queryset=Person.objects.visible_to(None), required=False
    )
    leaked = forms.BooleanField(label=gettext_lazy("Only those of which a leak was reported"), required=False)
    numbers = forms.CharField(
        label=gettext_lazy("Or these keys, by number"),
        required=False,
        max_length=_LONGEST,
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false", "placeholder": "KEY-1001, KEY-1002"}),
    )

    def __init__(self, data: QueryDict | None, *, actor: Actor) -> None:
        super().__init__(data)
        for name, model in (("team", Team), ("service", Service), ("environment", Environment), ("recipient", Person)):
            choice: Any = self.fields[name]  # a choice of rows
            choice.queryset = model.objects.visible_to(actor)
            choice.empty_label = _("Any")

    def clean_numbers(self) -> tuple[int, ...]:
        """Read the numbers that were typed."""
        return numbers_in(str(self.cleaned_data["numbers"]))

    def wanted(self) -> EmergencyFilter:
        """What the operation is given; call it when the form is valid."""
        typed = self.cleaned_data
        return EmergencyFilter(
            team=typed["team"].slug if typed["team"] else "",
            service=typed["service"].slug if typed["service"] else "",
            environment=typed["environment"].tag if typed["environment"] else "",
            recipient=typed["recipient"].pk if typed["recipient"] else None,
            leaked=typed["leaked"],
            numbers=typed["numbers"],
        )


class EmergencyForm(TypedConfirmation):
    """What happens to the list, and why."""

    measure = forms.ChoiceField(label=gettext_lazy("What happens"), choices=MEASURES, widget=forms.RadioSelect)
    reason = forms.ChoiceField(
        label=gettext_lazy("Reason, where they are stopped"),
        choices=choices_of(REVOCATION_CHOICES),
        initial="key-compromise",
        widget=forms.RadioSelect,
    )
    listed = forms.CharField(max_length=_LONGEST, widget=forms.HiddenInput)
    digest = forms.RegexField(r"^[0-9a-f]{64}$", widget=forms.HiddenInput)
    field_order = ("measure", "reason", "phrase", "listed", "digest")

    def clean_listed(self) -> tuple[int, ...]:
        """Read the list that was shown."""
        return numbers_in(str(self.cleaned_data["listed"]))


def numbers_in(text: str) -> tuple[int, ...]:
    """Read numbers of keys, each with or without its KEY-, between commas, spaces or lines."""
    words = re.split(r"[\s,;]+", text.strip()) if text.strip() else []
    found = [_NUMBER.fullmatch(word) for word in words]
    strange = next((word for word, match in zip(words, found, strict=True) if match is None), None)
    if strange is not None:
        raise forms.ValidationError(_("“%(word)s” is not the number of a key.") % {"word": strange[:40]}, code="number")
    if len(found) > MOST_KEYS:
        raise forms.ValidationError(_("At most %(most)s keys at once.") % {"most": MOST_KEYS}, code="too_many")
    return tuple(dict.fromkeys(int(match[1]) for match in found if match is not None))
