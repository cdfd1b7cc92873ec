"""List what reminders say: what ends when, and what helps."""

from __future__ import annotations

from django.utils.translation import gettext_noop

# kind -> (subject, sentence, what the link says); {until} is a time.
REMINDER_SAYINGS: dict[str, tuple[str, str, str]] = {
    "reminder.key-ending": (
        gettext_noop("{subject} ends on {until}"),
        gettext_noop(
            "Its authorisation for {service} in {environment} is over then, and everything that uses it is refused. A renewal needs "
            "approval: ask in time."
        ),
        gettext_noop("Renew it or let it end"),
    ),
    "reminder.key-ended": (
        gettext_noop("{subject} has ended"),
        gettext_noop(
            "Its authorisation for {service} in {environment} was over on {until}. If something still needs it, ask for a renewal."
        ),
        gettext_noop("See the way on"),
    ),
    "reminder.version-ending": (
        gettext_noop("The secret of {subject} ends on {until}"),
        gettext_noop(
            "No replacement is planned before that. The key stays authorised: claim a new secret and put it in place."
        ),
        gettext_noop("Replace the secret"),
    ),
    "reminder.next-secret-waiting": (
        gettext_noop("The secret of {subject} ends on {until}"),
        gettext_noop(
            "The next secret waits to be claimed. Until somebody claims it and puts it in place, nothing replaces this one."
        ),
        gettext_noop("Claim the next secret"),
    ),
    "reminder.version-ended": (
        gettext_noop("The secret of {subject} has ended"),
        gettext_noop("It ended on {until} and nothing replaced it. The key is still authorised: claim a new secret."),
        gettext_noop("Replace the secret"),
    ),
    "reminder.claim-lapsing": (
        gettext_noop("The secret of {subject} waits until {until}"),
        gettext_noop(
            "Nobody has claimed it yet. Afterwards it cannot be claimed any more, and a new one has to be made."
        ),
        gettext_noop("Claim it"),
    ),
    "reminder.claim-lapsed": (
        gettext_noop("The secret of {subject} was not claimed in time"),
        gettext_noop("It lapsed on {until}. The key is still approved: a new secret can be made without asking again."),
        gettext_noop("Make a new one"),
    ),
    "reminder.request-lapsing": (
        gettext_noop("{subject} lapses on {until}"),
        gettext_noop("A key for {service} in {environment} waits for a decision, and you can give it."),
        gettext_noop("Read the request"),
    ),
    "reminder.question-waiting": (
        gettext_noop("{subject} lapses on {until}"),
        gettext_noop("An approver asked back and waits for your answer."),
        gettext_noop("Answer"),
    ),
    "reminder.key-unused": (
        gettext_noop("{subject} is not used"),
        gettext_noop(
            "Nobody has used this key for {service} in {environment} for as long as its policy allows. If nothing needs it, revoke it: "
            "what does not exist cannot leak."
        ),
        gettext_noop("Revoke it or keep it"),
    ),
    "reminder.laggards": (
        gettext_noop("The old secret of {subject} is still in use ({count})"),
        gettext_noop("Both secrets work until {until}. Not seen on the new one: {clients}."),
        gettext_noop("See who still uses the old one"),
    ),
    "reminder.laggards-refused": (
        gettext_noop("The old secret of {subject} is refused from {until}"),
        gettext_noop(
            "Still used by: {clients}. Give them the new secret now; until the old one ends it may be refused for "
            "moments only, then it is for good."
        ),
        gettext_noop("See who still uses the old one"),
    ),
    "digest": (
        gettext_noop("Keystead: {lines} things to look at"),
        "",
        gettext_noop("See what needs you"),
    ),
}
