"""Say why something about the catalogue or about people is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

CATALOGUE: Final[Mapping[str, Promise]] = {
    "already_retired": _("It is retired already."),
    "bad_pattern": _("This is not a pattern that can be used safely."),
    "no_approvers": _("Nobody could give these approvals. Name approvers first."),
    "not_a_scope_name": _("A scope is named in lower-case letters, digits, colons, dots, hyphens and underscores."),
    "policy_changed": _("Somebody changed this policy meanwhile. Look at the present rules and decide again."),
    "proposal_waiting": _("A proposal for this policy already waits for a second administrator."),
    "second_administrator_needed": _("Weaker rules for production need a second administrator."),
    "unknown_kind": _("There is no such kind of key."),
}

PEOPLE: Final[Mapping[str, Promise]] = {
    "administrators_only": _("Only administrators can name a lead."),
    "another_administrator_can": _("Another administrator could reset the factors in the ordinary way: %(others)s."),
    "already_delegate": _("This colleague already stands in for you in that time."),
    "already_member": _("This person is a member of the team already."),
    "delegation_over": _("This delegation is over."),
    "factor_confirmed": _("This authenticator is confirmed already."),
    "factor_removed": _("This factor was removed."),
    "first_administrator_waits": _(
        "%(email)s was invited as the first administrator, and an address stays. Have a link made for that address; "
        "whoever opens it invites others under the right ones, and one of them deactivates it."
    ),
    "invitation_needed": _("A first factor is set up by an invitation. Ask an administrator for one."),
    "invitation_over": _("This invitation is over. Ask for a new one."),
    "invitation_used": _("This invitation was used already."),
    "last_administrator": _("This is the last administrator; somebody has to remain."),
    "last_factor": _("This is your last factor. Set up another one first."),
    "locked": _("Too many wrong codes. Wait half an hour, then try again."),
    "missing": _("Confirm that it is you: use your passkey or enter a code."),
    "needs_a_second_administrator": _("You proposed this, so a second administrator has to decide."),
    "no_time_zone": _("The time needs a zone."),
    "not_a_lead": _("Only a lead of the team or an administrator can do this."),
    "not_active": _("This account is not active."),
    "not_an_administrator": _("Only administrators can do this."),
    "not_an_auditor": _("Only auditors and administrators read the log."),
    "not_in_owner_team": _("Not a member of the team that owns the key."),
    "not_the_sender": _("Only the part that sends mail can make this link."),
    "device_answered": _("This machine was answered already."),
    "device_code_form": _("A code has eight letters and no vowels, such as BCDF-GHJK."),
    "device_row_changed": _(
        "This sign-in was changed outside of Keystead and opens nothing. Begin again, and tell an administrator."
    ),
    "device_sign_in_off": _("No command line is signed in here: the operator turned it off."),
    "device_sign_in_over": _("The time is over. Begin again in your terminal."),
    "browser_only": _("Do this in a browser: a device that acts for you may not."),
    "too_many_device_sign_ins": _("Too many machines wait to be signed in. Try again in a few minutes."),
    "not_your_own": _("This is somebody else's."),
    "not_your_own_roles": _("Nobody gives roles to themselves. Ask another administrator or lead."),
    "erasure_needs_another": _("You ended this person's place, so another administrator has to erase them."),
    "not_yourself": _("This cannot be done to oneself. Ask another administrator."),
    "passkey_known": _("This passkey is registered already."),
    "passkey_refused": _("The passkey was not accepted."),
    "people_only": _("Only people can do this."),
    "person_active": _("This person is active already."),
    "person_exists": _("There is a person with this address already."),
    "person_has_joined": _("This person has joined already."),
    "person_not_active": _("This person is not active."),
    "reset_already_proposed": _("A reset for this person was proposed already."),
    "reset_decided": _("This proposal was decided already."),
    "reset_lapsed": _("The time to decide about this proposal is over."),
    "reset_over": _("This link is over. Ask for a new one."),
    "shell_only": _("This can be done only at the server's shell."),
    "span_empty": _("The end has to come after the beginning, and in the future."),
    "span_too_long": _("A delegation lasts at most %(most_days)s days."),
    "step_up_required": _("Confirm that it is you: use your passkey or enter a code."),
    "team_has_requests": _("The team has open requests. Have them decided or withdrawn first."),
    "team_owns_keys": _("The team owns living keys. Hand them over or revoke them first."),
    "team_owns_services": _("The team owns services. Give them to another team first."),
    "team_retired": _("This team is retired."),
    "too_many_factors": _("You have as many factors as one can have. Remove one first."),
    "unknown_role": _("There is no such role."),
    "unknown_team": _("There is no such team."),
    "used": _("This code was used already. Wait for the next one."),
    "wrong": _("This code is not right."),
    "wrong_code": _("This code is not right."),
    "wrong_password": _("This password is not right."),
}
