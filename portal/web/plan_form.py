"""Ask how the secrets of a key are replaced: how often, and how long the old one then works on, within the policy."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from keys.policy.bounds import Rules
from keys.states import OVERLAP_PERIODS, Overlap
from portal.templatetags.times import duration
from portal.web.periods import DaysField, day_choices
from portal.web.rotation_words import OVERLAPS


class PlanForm(forms.Form):
    """The part of a wish that says so; nothing chosen is the usual plan."""

    every_days = DaysField(
        label=gettext_lazy("Each secret is replaced"),
        required=False,
        help_text=gettext_lazy("Before it ends a secret is replaced in any case."),
        widget=forms.Select,
    )
    overlap = forms.ChoiceField(label=gettext_lazy("How long the old secret works on"), required=False)

    def offer_plans(self, rules: Rules) -> None:
        """Offer what the policy lets be; whether an overlap fits an interval is the operation's question."""
        overlap, interval = self.fields["overlap"], self.fields["every_days"].widget
        assert isinstance(overlap, forms.ChoiceField)
        assert isinstance(interval, forms.Select)
        overlap.choices = _overlaps(rules)
        overlap.help_text = _(
            "Beside the new one. By policy at most %(most)s; it can be chosen anew at each rotation."
        ) % {"most": duration(timedelta(hours=rules.longest_overlap_hours))}
        every, chosen = _("every %(days)s"), str(self["every_days"].value() or "")
        interval.choices = [("", _("before it ends"))] + [
            (str(each.value), every % {"days": each.label})
            for each in day_choices(rules.max_cryptoperiod_days, chosen=chosen)
            if each.value < rules.max_cryptoperiod_days
        ]


def _overlaps(rules: Rules) -> list[tuple[str, Any]]:  # Any: words that are translated when they are shown
    """The overlaps that the policy lets be; whether they fit the interval is the operation's question."""
    longest = timedelta(hours=rules.longest_overlap_hours)
    return [(str(each), OVERLAPS[each][0]) for each in Overlap if OVERLAP_PERIODS.get(each, timedelta()) <= longest]


def overlap_within(overlap: Overlap, rules: Rules) -> str:
    """The overlap, or the longest that the policy lets be instead."""
    allowed = [value for value, _words in _overlaps(rules)]
    if overlap in allowed:
        return str(overlap)
    return max((Overlap(each) for each in allowed), key=lambda each: OVERLAP_PERIODS.get(each, timedelta())).value
