"""Ask before an act that is hard to undo: what will happen, to what, and a typed word where it is dangerous."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from portal.web.components import Term, Words


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """What a confirmation page says. `tone` is danger for acts that end something."""

    title: Words
    action: Words
    cancel_url: str
    consequences: Sequence[Words] = field(default_factory=tuple)
    preview: Sequence[Term] = field(default_factory=tuple)
    tone: str = "danger"
    environment_class: str = ""


class TypedConfirmation(forms.Form):
    """Ask for a phrase to be typed; without a phrase there is nothing to type. Subclass it to ask for more."""

    phrase = forms.CharField(max_length=200, label=gettext_lazy("Confirm by typing"))

    def __init__(self, data: Mapping[str, object] | None = None, *, phrase: str = "") -> None:
        super().__init__(data)
        self.expected = phrase
        if not phrase:
            del self.fields["phrase"]
            return
        asked = self.fields["phrase"]
        asked.label = _("Type %(phrase)s to confirm") % {"phrase": phrase}
        asked.widget.attrs |= {"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"}

    def clean_phrase(self) -> str:
        """Compare what was typed, spaces at the ends aside."""
        typed: str = self.cleaned_data["phrase"]
        if typed.strip() != self.expected:
            raise ValidationError(_("This is not the text to type."), code="phrase_differs")
        return typed
