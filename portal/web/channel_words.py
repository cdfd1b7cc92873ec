"""Say in words what people choose about how they are told."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from keys.states import MessageFamily, TeamMail, Telling

# family -> (what it is called, what is in it)
FAMILIES: Mapping[MessageFamily, tuple[Promise, Promise]] = {
    MessageFamily.NEEDS: (
        _("What needs you"),
        _("Requests to decide, questions, secrets to claim, offers: somebody waits."),
    ),
    MessageFamily.REMINDERS: (
        _("Reminders"),
        _(
            "What will end, and who still uses an old secret. On the last day a digest would come too late, so it is a mail."
        ),
    ),
    MessageFamily.CHANGES: (
        _("Changes to your keys"),
        _("What others or the clock did to keys and requests of yours."),
    ),
    MessageFamily.NEWS: (_("News"), _("What nobody has to act on, such as a replacement that went well.")),
}
TELLINGS: Mapping[Telling, Promise] = {
    Telling.NOW: _("A mail at once"),
    Telling.DIGEST: _("In one mail a day"),
    Telling.QUIET: _("No mail"),
}
TEAM_MAILS: Mapping[TeamMail, Promise] = {
    TeamMail.LEADS: _("The leads"),
    TeamMail.MEMBERS: _("All members"),
}
