"""Say why something about the log, its exports, its searches, what it keeps, or where it is sent is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

RETENTION: Final[Mapping[str, Promise]] = {
    "erasure_held": _("Some of what names this person is held: %(holds)s. Lift the hold first, or wait for its end."),
    "hold_lifted_already": _("This hold was lifted already."),
    "hold_needs_another": _("You placed this hold, so another administrator has to lift it."),
    "hold_range_empty": _("There is nothing in this span that could be held."),
    "hold_range_pruned": _("This range was archived and left the database; the log begins at leaf %(first)s."),
    "leaves_or_times": _("Name leaves or times, not both."),
    "person_erased": _("This person was erased."),
    "person_still_active": _("This person has a place here. Deactivate them first."),
    "retention_changed": _("Somebody changed the periods meanwhile. Look at the present ones and decide again."),
    "retention_same": _("These periods are in force already."),
    "retention_waiting": _("Shorter periods already wait for a second administrator."),
    "second_administrator_for_periods": _("You proposed this, so another administrator has to accept it."),
}

SEARCHES: Final[Mapping[str, Promise]] = {
    "not_a_seed": _("A seed has at most 64 letters, digits, dots, hyphens and underscores."),
    "not_your_search": _(
        "Somebody else saved this search, so only they can change it. Save it under a name of your own."
    ),
    "nothing_sealed": _("Nothing is sealed yet, and a sample is drawn from what is. Try again in a moment."),
    "nothing_to_sample": _("No sealed event fits this search, so there is nothing to draw from."),
    "nothing_to_save": _("This search filters nothing. Choose a filter first."),
    "only_people_keep_searches": _("Only people save searches."),
    "population_too_large": _("This search fits more than %(most)s events. Narrow it, for example to a shorter span."),
    "search_removed": _("This saved search was removed."),
}

EXPORTS: Final[Mapping[str, Promise]] = {
    "export_ended": _("This export has ended already; there is nothing to cancel."),
    "export_of_others": _("Only whoever asked for it, or an administrator, cancels an export."),
    "export_gave_up": _("It was tried several times and never finished. Ask again; if that fails too, tell an administrator."),
    "export_gone": _("The file is not there any more. Ask for it again."),
    "export_no_space": _("There is no room for the file. Tell an administrator, then ask again."),
    "export_not_ready": _("The file is not finished yet."),
    "export_not_sealed": _("The log was not sealed so far. Look at the health page, then ask again."),
    "export_not_whole": _("A part of this range left the database. It is in the archive."),
    "export_too_large": _("More than %(most)s events are made into a file in the background. Ask for one and fetch it later."),
    "export_unwritable": _("The file could not be written. Tell an administrator, then ask again."),
    "no_range": _("A range begins at 0 or later, and ends after it begins."),
    "not_sealed_so_far": _("The log holds %(size)s sealed events so far."),
    "private_is_for_people": _("Only people may ask for names, addresses and free text of others."),
    "range_is_for_people": _("A program takes out what happened in its own environment, and never whole ranges of the log."),
    "too_many_exports": _("You have %(most)s files in the making. Wait until one is done."),
}  # fmt: skip

WEBHOOKS: Final[Mapping[str, Promise]] = {
    "address_not_public": _("This address is not on the public internet. Webhooks are sent nowhere else."),
    "address_without_sign_in": _("Write the address without a user, a password or a # part."),
    "https_only": _("Webhooks are sent by https only."),
    "not_a_web_address": _("This is not a web address. Write it like https://hooks.example.com/keystead."),
    "only_people_change_webhooks": _("Only people say where events are sent."),
    "webhook_disabled": _("This webhook is disabled. Enable it first."),
    "chat_has_no_secret": _("A chat has no secret: nothing signs what is said there."),
    "feed_removed": _("This address was removed already."),
    "not_your_team": _("You are not a member of this team."),
    "webhook_removed": _("This webhook was removed."),
}
