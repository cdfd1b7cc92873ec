"""Send notices by e-mail: the one place that does. No secret but a one-time link, made now and stored nowhere."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import timedelta
from email.utils import parseaddr
from smtplib import SMTPDataError, SMTPRecipientsRefused, SMTPSenderRefused
from typing import Final

import structlog
from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.smtp import EmailBackend
from django.db import transaction
from django.db.models import Q
from django.template.loader import render_to_string
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from audit import clock
from audit.actor import Actor
from keys.errors import KeysError
from keys.models import Invitation, Notice, PasswordReset
from keys.notifications.words import Words, is_moot, words_for
from keys.people.invitations import make_invitation_link
from keys.people.passwords import make_reset_link

POSTMAN = Actor.job("mail")
BATCH = 50
MOST_LINES = 50  # of a digest
# A mail that the server refuses is brought again, later and later; the last pause follows the last attempt, and ends nothing.
PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 240, 720, 1440, 1440))
# What a server says about one mail; anything else is about the server.
REFUSED: Final = (SMTPRecipientsRefused, SMTPSenderRefused, SMTPDataError)
SHOWN: Final = timedelta(days=7)  # and for so long people are told that it never went out
# A server that cannot be reached is asked again after this, by this process; no mail loses an attempt by it.
REST_SECONDS: Final = 10.0
_resting_until = 0.0  # of the process: another one has to find out for itself

log = structlog.get_logger(__name__)


def send_waiting(*, most: int = BATCH) -> int:
    """Send what waits; returns how many went out. Several workers are harmless: each takes a notice under a lease.

    At least once: killed between the server's yes and our note of it, a mail goes out again, under the same Message-ID.
    Neither a server that is down nor one mail that cannot be written holds up the others for good.
    """
    global _resting_until
    if time.monotonic() < _resting_until or not Notice.objects.due(clock.now()).exists():
        return 0
    server = get_connection()
    sent, failure = 0, None
    try:
        if isinstance(server, EmailBackend):  # the others have nothing to be down
            server.open()  # before anything is taken: a server that is down costs no mail its attempt
        for _each in range(most):
            notice = _take()
            if notice is None:
                break
            try:
                sent += _send(notice, server)
            except REFUSED as refused:
                log.warning("mail_refused", error=type(refused).__name__, attempt=notice.attempts + 1)
            except OSError:
                raise
            except Exception as error:  # noqa: BLE001 - raised again below: the others go out first
                failure = failure or error
    except OSError:  # of which every answer of a mail server is one
        _resting_until = time.monotonic() + REST_SECONDS
    finally:
        with suppress(OSError):
            server.close()
    if failure is not None:
        raise failure
    return sent


def given_up_lately() -> int:
    """How many mails the server refused for good, of those that people may still wait for."""
    return Notice.objects.given_up().filter(created_at__gt=clock.now() - SHOWN).count()


def _take() -> Notice | None:
    """Lease the next due notice: until the pause is over nobody else takes it, and then it is due again."""
    with transaction.atomic():
        at = clock.now()
        notice = Notice.objects.due(at).select_for_update(skip_locked=True).order_by("created_at", "id").first()
        if notice is not None:
            pause = PAUSES[notice.attempts]
            Notice.objects.filter(pk=notice.pk).update(attempts=notice.attempts + 1, next_attempt_at=at + pause)
    return notice


def _send(notice: Notice, server: BaseEmailBackend) -> bool:
    """Send one mail; what the server answers to it is raised, and it is due again after the pause of its lease."""
    link = _link(notice)
    if link is not None:
        message = _message(notice, words_for(notice), link)
        if isinstance(server, EmailBackend):  # a folder keeps each mail in a file of its own
            message.connection = server
        message.send()
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
        if is_moot(notice):
            return None
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
