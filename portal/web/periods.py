"""Offer periods of days, the forbidden ones with the reason, and read what was typed as plain digits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from portal.web.wording import days_in_words

PERIODS = (1, 7, 14, 30, 60, 90, 180, 365)
_DIGITS = re.compile(r"[0-9]{1,5}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Days:
    """One choice of a period; `why_not` says why the policy forbids it."""

    value: int
    label: str
    why_not: str = ""
    is_chosen: bool = False


class DaysField(forms.IntegerField):
    """A number of days in plain digits: IntegerField alone would take other scripts' digits, signs and blanks."""

    def to_python(self, value: Any) -> int | None:
        """Refuse whatever is not a few ASCII digits."""
        if value in self.empty_values:
            return None
        if not _DIGITS.fullmatch(str(value)):
            raise ValidationError(_("Give a number of days."), code="not_a_number")
        return int(str(value))


def day_choices(most: int, *, chosen: str) -> list[Days]:
    """The periods one can choose, with the one that was typed, and with the most that the policy allows."""
    typed = {int(chosen)} if _DIGITS.fullmatch(chosen) else set()
    beyond = _("The policy allows at most %(most)s.") % {"most": days_in_words(most)}
    return [
        Days(
            value=days, label=days_in_words(days), why_not=beyond if days > most else "", is_chosen=str(days) == chosen
        )
        for days in sorted({*PERIODS, most} | {days for days in typed if days <= most})
    ]
