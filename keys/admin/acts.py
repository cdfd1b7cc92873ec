"""Say what an act of an administrator is: a form, what it will do, what is to be typed, and the one operation it calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from audit.actor import Actor
from keys.catalogue.rule_differences import RuleChange
from keys.errors import Invalid
from keys.words import sentence_for

Words = str | Promise
Row = TypeVar("Row", bound=models.Model)
Terms = list[tuple[Words, object]]


class Revealed(Protocol):
    """Something that may be shown once (keys.crypto.secrets.Secret)."""

    def reveal(self) -> str:
        """Return the text."""


@dataclass(frozen=True)
class Shown:
    """A result that is shown in the answer itself, and nowhere again."""

    row: models.Model
    secret: Revealed
    label: Words
    words: Words


class ActForm(forms.Form):
    """What an act asks for. Subclasses add fields; `rows` are what it is about."""

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        rows: Sequence[models.Model] = (),
        phrase: str = "",
        initial: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(data, initial=dict(initial or {}))
        self.rows = rows
        self.phrase = phrase
        self.fit()
        if phrase:
            self.fields["phrase"] = forms.CharField(
                label=_("Type “%(phrase)s” to confirm") % {"phrase": phrase},
                max_length=200,
                widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"}),
            )

    def fit(self) -> None:
        """Fit fields and choices to `rows`."""

    def clean_phrase(self) -> str:
        """Compare what was typed, spaces at the ends aside."""
        typed = str(self.cleaned_data["phrase"])
        if typed.strip() != self.phrase:
            raise ValidationError(_("This is not the text to type."), code="phrase_differs")
        return typed

    def put_errors(self, invalid: Invalid) -> None:
        """Show what an operation found wrong beside its fields; what has no field here stands above the form."""
        for name, (code, params) in invalid.fields.items():
            words = sentence_for(code, params) or code
            self.add_error(name if name in self.fields else None, words if name in self.fields else f"{name}: {words}")


class Act(Generic[Row]):
    """One thing an administrator can do to a row, to several rows, or to make a new one."""

    name: ClassVar[str]
    label: ClassVar[Words]
    purpose: ClassVar[str]  # of the step-up
    icon: ClassVar[str] = "pencil"
    tone: ClassVar[str] = ""  # "danger" for what ends something
    form: ClassVar[type[ActForm]] = ActForm
    done: ClassVar[Words]
    in_bulk: ClassVar[bool] = False
    makes: ClassVar[bool] = False  # it makes a row, and needs none to begin with
    as_table: ClassVar[bool] = False  # several previews are rows of one table
    can_look: ClassVar[bool] = False  # `difference` can be shown before anything happens

    def is_offered(self, row: Row) -> bool:
        """Whether the button is shown; whether the act may happen is decided by the operation."""
        return True

    def title(self, rows: Sequence[Row]) -> Words:
        """The heading of the page."""
        if len(rows) == 1:
            return f"{self.label}: {rows[0]}"
        return f"{self.label} ({len(rows)})" if rows else self.label

    def consequences(self, rows: Sequence[Row]) -> list[Words]:
        """What will happen, in sentences."""
        return []

    def preview(self, row: Row, *, actor: Actor, at: datetime) -> Terms:
        """What the act concerns, for the page before it."""
        return []

    def difference(self, row: Row, cleaned: Mapping[str, Any] | None) -> Sequence[RuleChange]:
        """Old beside new; `cleaned` is None until the form was sent."""
        return ()

    def phrase(self, rows: Sequence[Row]) -> str:
        """What is to be typed before something ends; empty when a button is enough."""
        return ""

    def initial(self, row: Row) -> Mapping[str, Any]:
        """What the form begins with."""
        return {}

    def seen(self, row: Row) -> str:
        """What the administrator saw and the operation must find unchanged, such as a digest."""
        return ""

    def selection_problem(self, rows: Sequence[Row]) -> Words:
        """Why these rows cannot be treated together, or nothing."""
        return ""

    def run(
        self, row: Row | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor
    ) -> models.Model | Shown | None:
        """Call the operation; returns the row to show next."""
        raise NotImplementedError

    def answer(self, result: models.Model | Shown | None) -> Words:
        """What is said when it is done."""
        return self.done


def chosen(words: Callable[[], Sequence[tuple[str, str]]]) -> forms.MultipleChoiceField:
    """Offer boxes to tick."""
    return forms.MultipleChoiceField(choices=words, required=False, widget=forms.CheckboxSelectMultiple)


def titled(values: type[Any]) -> list[tuple[str, str]]:
    """Offer the words of an enumeration."""
    return [(str(value), str(value).replace("-", " ").capitalize()) for value in values]


def day(value: datetime | None) -> str:
    """Write an instant for a table of facts."""
    return value.strftime("%Y-%m-%d %H:%M UTC") if value else "—"
