"""Say in words why something about people was refused; what this room does not know, the other words may."""

from __future__ import annotations

from collections.abc import Mapping

from django import forms
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from keys.errors import Invalid
from keys.people.proofs import Refusal
from keys.words import sentence_for

WORDS: Mapping[str, Promise] = {
    "administrators_only": _("Only an administrator may make somebody a lead."),
    "already_delegate": _("This colleague already stands in for you at that time."),
    "already_member": _("This person is already a member of the team."),
    "delegation_over": _("This delegation is already over."),
    "factor_removed": _("This factor was removed already."),
    "factor_too_new": _("This factor is younger than 24 hours and cannot approve yet. Use an older one, or wait."),
    "invitation_needed": _(
        "A first factor needs an invitation that was just accepted. Ask an administrator for a new one."
    ),
    "invitation_over": _("This invitation was used, ended or has lapsed."),
    "invitation_used": _("This invitation was used or ended already."),
    "last_administrator": _("Somebody must remain who can administer Keystead. Make another administrator first."),
    "last_factor": _("This is the last factor. Add another one before you remove it."),
    "needs_a_second_administrator": _("A second administrator must confirm this."),
    "no_time_zone": _("Give the time with its zone."),
    "not_a_lead": _("Only a lead of the team or an administrator may do this."),
    "not_an_email": _("This is not an e-mail address."),
    "not_text": _("This is not text."),
    "not_your_own": _("You can only do this for yourself."),
    "not_your_own_roles": _("Nobody gives themselves a role. Ask another administrator."),
    "not_yourself": _("This cannot be done by the person it is about."),
    "passkey_known": _("This passkey is enrolled already."),
    "passkey_refused": _("The passkey could not be verified. Try again, or use another device."),
    "password_entirely_numeric": _("Use more than digits."),
    "password_too_common": _("This password is in lists that attackers try first. Choose another."),
    "password_too_short": _("Use at least 12 characters; a few words work well."),
    "password_too_similar": _("This password is too close to your name or address."),
    "passwords_differ": _("The two passwords are not the same."),
    "person_exists": _("Somebody with this address is here already."),
    "person_has_joined": _("This person has joined already."),
    "person_not_active": _("This person's account is not active."),
    "required": _("This is needed."),
    "reset_already_proposed": _("A reset for this person is already waiting for a second administrator."),
    "reset_decided": _("This reset was decided already."),
    "reset_lapsed": _("This proposal has lapsed. Propose it again."),
    "reset_over": _("This link was used or has lapsed. Ask for a new one."),
    "session_changed": _("Your session changed a moment ago. Please try again."),
    "span_empty": _("The end must come after the start, and after now."),
    "span_too_long": _("At most %(most_days)s days at a time."),
    "step_up_required": _("Confirm with your second factor that it is you."),
    "taken": _("This name is taken."),
    "team_has_requests": _("The team still has open requests."),
    "team_owns_keys": _("The team still owns living keys. Hand them over first."),
    "team_owns_services": _("The team still owns services. Give them to another team first."),
    "team_retired": _("This team has ended."),
    "too_long": _("At most %(most)s characters."),
    "too_many_factors": _("At most %(most)s factors. Remove one first."),
    "too_short": _("At least %(least)s characters."),
    "unknown_role": _("There is no such role."),
    "unseen_characters": _("Remove characters that cannot be seen."),
    "wrong_code": _("This code does not fit. Wait for the next one and check the clock of your device."),
    "wrong_password": _("This is not your present password."),
}
REFUSALS: Mapping[str, Promise] = {
    "missing": _("Confirm with your second factor that it is you."),
    "wrong": _("That did not fit. Check it and try again."),
    "used": _("That code was used already. Wait for the next one."),
    "locked": _("Too many tries. Proofs are closed for 30 minutes; if it was not you, tell an administrator."),
    "factor_too_new": WORDS["factor_too_new"],
}


def explain(code: str, params: Mapping[str, object]) -> str:
    """Return the words for a code of people's rules, or else those of the rest of the site, or else the code."""
    if code in WORDS:
        words = str(WORDS[code])
        return words % params if "%(" in words else words
    return sentence_for(code, params) or code.replace("_", " ")


def explain_refusal(refusal: Refusal) -> str:
    """Return the words for a second factor that does not count."""
    return str(REFUSALS[refusal.code])


def put_errors(form: forms.Form, refused: Invalid) -> None:
    """Show what an operation found wrong beside the fields of a form; what has no field stands above it."""
    for name, (code, params) in refused.fields.items():
        form.add_error(name if name in form.fields else None, explain(code, params))
