"""Ask an approver for a decision, its words, and what a narrowing leaves."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from keys.approvals.content import Content, content_of
from keys.approvals.decisions import Narrowing
from keys.models import KeyRequest
from portal.web.periods import DaysField
from portal.web.wish_form import networks_in

DECISIONS = {
    "approve": gettext_lazy("Approve exactly this"),
    "narrow": gettext_lazy("Approve less"),
    "return": gettext_lazy("Ask back"),
    "deny": gettext_lazy("Deny"),
}


class DecisionForm(forms.Form):
    """A decision, its words, what a narrowing leaves, and the digest of what the approver saw."""

    decision = forms.ChoiceField(choices=list(DECISIONS.items()), widget=forms.RadioSelect)
    comment = forms.CharField(
        label=gettext_lazy("Words for the requester"),
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    scopes = forms.MultipleChoiceField(label=gettext_lazy("Scopes that stay"), required=False)
    networks = forms.CharField(
        label=gettext_lazy("Networks"),
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false", "class": "form-control mono"}),
    )
    cryptoperiod_days = DaysField(label=gettext_lazy("Days each secret lives"), required=False)
    authorised_days = DaysField(label=gettext_lazy("Days authorised"), required=False)
    without_self_fetch = forms.BooleanField(
        label=gettext_lazy("The client does not fetch its next secrets: a person claims each one"), required=False
    )
    digest = forms.CharField(max_length=64, widget=forms.HiddenInput)

    def __init__(self, *arguments: Any, content: Content, **named: Any) -> None:  # Any: passed on to Django
        named.setdefault("initial", _as_asked(content))
        super().__init__(*arguments, **named)
        self.content = content
        scopes = self.fields["scopes"]
        assert isinstance(scopes, forms.MultipleChoiceField)
        scopes.choices = [(scope, scope) for scope in content.scopes]

    def clean(self) -> dict[str, Any]:
        """Ask for words where the requester needs them."""
        typed = super().clean() or {}
        if typed.get("decision") in ("return", "deny") and not typed.get("comment", "").strip():
            words = (
                _("Say what you want to know.")
                if typed["decision"] == "return"
                else _("Say why, so they can act on it.")
            )
            self.add_error("comment", words)
        return typed

    def narrowing(self) -> Narrowing:
        """Return what the approver takes away; what was left as it was stays out."""
        typed = self.cleaned_data
        return Narrowing(
            scopes=tuple(typed["scopes"]),
            networks=networks_in(typed["networks"]) if not self.content.renews else None,
            cryptoperiod_days=typed["cryptoperiod_days"],
            authorised_days=typed["authorised_days"],
            self_fetch=False if typed["without_self_fetch"] else None,
        )

    def kept_scopes(self) -> list[tuple[str, bool]]:
        """The scopes, and whether each is ticked."""
        ticked = self["scopes"].value() or ()
        return [(scope, scope in ticked) for scope in self.content.scopes]


def _as_asked(content: Content) -> dict[str, object]:
    return {
        "decision": "approve",
        "scopes": list(content.scopes),
        "networks": "\n".join(content.networks),
        "cryptoperiod_days": content.cryptoperiod_days,
        "authorised_days": content.authorised_days,
    }


def decision_form(request: KeyRequest, *, comment: str = "") -> DecisionForm:
    """Return the empty form of the decision panel."""
    content = content_of(request.content)
    return DecisionForm(content=content, initial=_as_asked(content) | {"digest": request.digest, "comment": comment})
