"""Describe the forms of the account pages: labels, help, and hints for browsers and password stores."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from keys.models import Person

LONGEST_PASSWORD_FIELD = 1024


def _password(label: Any, *, autocomplete: str, help_text: Any = "") -> forms.CharField:
    widget = forms.PasswordInput(attrs={"autocomplete": autocomplete})
    return forms.CharField(
        label=label, help_text=help_text, strip=False, max_length=LONGEST_PASSWORD_FIELD, widget=widget
    )


class SignInForm(forms.Form):
    """An address and a password."""

    email = forms.CharField(
        label=_("E-mail address"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "username", "autocapitalize": "off", "spellcheck": "false"}),
    )
    password = _password(_("Password"), autocomplete="current-password")


class NewPasswordForm(forms.Form):
    """A new password, twice."""

    new = _password(
        _("New password"),
        autocomplete="new-password",
        help_text=_("At least 12 characters. A few words are good; no rules about digits or signs."),
    )
    again = _password(_("The same once more"), autocomplete="new-password")

    def clean(self) -> dict[str, Any]:
        """Compare the two."""
        typed = self.cleaned_data
        if typed.get("new") and typed.get("again") and typed["new"] != typed["again"]:
            self.add_error("again", _("The two passwords are not the same."))
        return typed


class ChangePasswordForm(NewPasswordForm):
    """The present password and a new one."""

    current = _password(_("Present password"), autocomplete="current-password")
    field_order = ("current", "new", "again")


class PresentPasswordForm(forms.Form):
    """The present password, for somebody whose factors were reset."""

    password = _password(_("Your password"), autocomplete="current-password")


class AddressForm(forms.Form):
    """An address to which something may be sent."""

    email = SignInForm.base_fields["email"]


class FactorNameForm(forms.Form):
    """A name by which people tell their factors apart."""

    name = forms.CharField(
        label=_("Name"), max_length=64, help_text=_("So that you can tell your factors apart, such as “phone”.")
    )


class CodeForm(forms.Form):
    """Six digits of an authenticator app."""

    code = forms.CharField(
        label=_("Code from the app"),
        max_length=6,
        strip=False,
        widget=forms.TextInput(
            attrs={
                "autocomplete": "one-time-code",
                "inputmode": "numeric",
                "pattern": "[0-9]{6}",
                "class": "form-code",
                "spellcheck": "false",
            }
        ),
    )


class RecoveryCodeForm(forms.Form):
    """One recovery code."""

    recovery_code = forms.CharField(
        label=_("Recovery code"),
        max_length=40,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"}),
        help_text=_("Twelve letters and digits, such as 4f7k-92mz-x0pt. Each works once."),
    )


class DelegateForm(forms.Form):
    """A colleague and a span of time."""

    delegate = forms.ModelChoiceField(label=_("Colleague"), queryset=Person.objects.none())
    starts_at = forms.DateTimeField(
        label=_("From (UTC)"), widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
    )
    ends_at = forms.DateTimeField(
        label=_("Until (UTC)"), widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
    )
