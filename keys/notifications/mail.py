"""Send notices by e-mail: the one place that does. No secret but a one-time link, made now and stored nowhere."""

from __future__ import annotations

import smtplib
from datetime import timedelta
from email.utils import parseaddr

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.db.models import Q
from django.template.loader import render_to_string
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from audit import clock
from audit.actor import Actor
from keys.errors import KeysError
from keys.models import Invitation, Notice, PasswordReset
from keys.notifications.words import Words, words_for
from keys.people.invitations import make_invitation_link
from keys.people.passwords import make_reset_link

POSTMAN = Actor.job("mail")
BATCH = 50
MOST_LINES = 50  # of a digest
# A server that is down is asked again, later and later, for about three days.
PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 240, 720, 1440, 1440))


def send_waiting(*, most: int = BATCH) -> int:
    """Send what waits; returns how many went out. Several workers are harmless: each takes a notice under a lease.

    At least once: killed between the server's yes and our note of it, a mail goes out again, under the same Message-ID.
    """
    sent = 0
    for _each in range(most):
        notice = _take()
        if notice is None:
            break
        sent += _send(notice)
    return sent


def _take() -> Notice | None:
    """Lease the next due notice: until the pause is over nobody else takes it, and then it is due again."""
    with transaction.atomic():
        at = clock.now()
        due = Notice.objects.unsent().exclude(next_attempt_at__gt=at).filter(attempts__lt=len(PAUSES))
        notice = due.select_for_update(skip_locked=True).order_by("created_at", "id").first()
        if notice is not None:
            pause = PAUSES[notice.attempts]
            Notice.objects.filter(pk=notice.pk).update(attempts=notice.attempts + 1, next_attempt_at=at + pause)
    return notice


def _send(notice: Notice) -> bool:
    link = _link(notice)
    if link is not None:
        try:
            _message(notice, words_for(notice), link).send()
        except (OSError, smtplib.SMTPException):
            return False  # due again after the pause of the lease
    Notice.objects.filter(Q(pk=notice.pk) | Q(digest=notice)).update(sent_at=clock.now())
    return link is not None


def _link(notice: Notice) -> str | None:
    """The address to go to; None when a one-time link makes no sense any more, and neither does the mail."""
    try:
        if notice.kind == "invitation.created":
            invitation = Invitation.objects.get(pk=notice.subject_id)
            return make_invitation_link(invitation, actor=POSTMAN).reveal()
        if notice.kind == "password.reset-requested":
            reset = PasswordReset.objects.get(pk=notice.params["reset"])
            return make_reset_link(reset, actor=POSTMAN).reveal()
    except (KeysError, Invitation.DoesNotExist, PasswordReset.DoesNotExist):
        return None
    return str(settings.KEYSTEAD_PUBLIC_URL) + words_for(notice).path


def _message(notice: Notice, words: Words, link: str) -> EmailMultiAlternatives:
    """Write the mail as text and as HTML: the same words, one link, nothing that is fetched or counted."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
    lines, more = _lines(notice)
    said = {
        "words": words,
        "greeting": _("Hello {name},").format(name=notice.person.name),
        "lines": lines,
        "more": _("and {count} more").format(count=more) if more else "",
        "link": link,
        "site": str(settings.KEYSTEAD_PUBLIC_URL),
        "language": get_language() or settings.LANGUAGE_CODE,
    }
    # A subject is one line whatever a name holds.
    mail = EmailMultiAlternatives(
        subject=" ".join(words.subject.split()),
        body=render_to_string("mail/notice.txt", said).strip() + "\n",
        to=[notice.person.email],
        headers={
            "Message-ID": f"<{notice.event_uid}.{notice.person_id}@{domain}>",
            "Auto-Submitted": "auto-generated",
        },
    )
    mail.attach_alternative(render_to_string("mail/notice.html", said), "text/html")
    return mail


def _lines(notice: Notice) -> tuple[list[str], int]:
    """What a digest says of each of its notices, the most urgent first, and how many are left out."""
    told = sorted(notice.lines.all(), key=lambda line: (line.params.get("days", MOST_LINES), line.pk))
    return [words_for(line).subject for line in told[:MOST_LINES]], max(len(told) - MOST_LINES, 0)
