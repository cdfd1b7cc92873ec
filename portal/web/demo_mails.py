"""Show the mails of the demo, which leave no machine: they are kept in a folder, and read here."""

from __future__ import annotations

import email
from dataclasses import dataclass
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from hashlib import sha256
from pathlib import Path
from typing import cast

from csp.constants import NONE, UNSAFE_INLINE
from csp.decorators import csp_replace
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from audit.actor import Actor
from portal.web.doors import page

END = b"\n" + b"-" * 79 + b"\n"  # how Django's back end for files ends a mail
MOST = 100
MOST_BYTES = 256 * 1024  # of one file; ours are a few kilobytes
# The mail's own styles and nothing else: it runs nothing, sends nothing, and its links open elsewhere.
AS_IN_A_MAIL_PROGRAM = {
    "style-src": [UNSAFE_INLINE],
    **{f"{each}-src": [NONE] for each in ("default", "script", "img", "font", "connect", "manifest")},
    "form-action": [NONE],
    "sandbox": ["allow-top-navigation-by-user-activation"],
}


@dataclass(frozen=True, kw_only=True)
class KeptMail:
    """One mail of the folder. Its name is a digest of its bytes."""

    name: str
    to: str
    subject: str
    sent_at: datetime | None
    text: str
    html: str


@page
def demo_mails(http: HttpRequest, _actor: Actor) -> HttpResponse:
    """List the newest mails, whoever they are for: in the demo one visitor plays everybody."""
    return render(http, "web/demo_mails.html", {"mails": _kept(_folder())})


@page
def demo_mail(http: HttpRequest, _actor: Actor, name: str) -> HttpResponse:
    """Show one mail as text, and lead to it as a mail program shows it."""
    return render(http, "web/demo_mail.html", {"mail": _find(name)})


@page
def demo_mail_as_html(http: HttpRequest, _actor: Actor, name: str) -> HttpResponse:
    """Show the HTML of one mail, alone and under a policy of its own."""
    mail = _find(name)
    if not mail.html:
        raise Http404

    @csp_replace(AS_IN_A_MAIL_PROGRAM)
    def drawn(_http: HttpRequest) -> HttpResponse:
        return HttpResponse(mail.html)

    return cast("HttpResponse", drawn(http))


def _folder() -> Path:
    """The folder of the settings. Outside the demo there is no such page."""
    if not settings.DEMO:
        raise Http404
    return Path(settings.EMAIL_FILE_PATH)


def _find(name: str) -> KeptMail:
    found = next((mail for mail in _kept(_folder()) if mail.name == name), None)
    if found is None:
        raise Http404
    return found


def _kept(folder: Path) -> list[KeptMail]:
    """The mails of the newest files, newest first; the folder is made with the first mail."""
    files = sorted(folder.glob("*.log"), reverse=True)[:MOST]
    written = [each for file in files for each in reversed(_read(file).split(END)) if each.strip()]
    return [_mail(each) for each in written[:MOST]]


def _read(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(MOST_BYTES)


def _mail(written: bytes) -> KeptMail:
    message = email.message_from_bytes(written, policy=policy.default)
    return KeptMail(
        name=sha256(written).hexdigest()[:20],
        to=str(message["To"] or ""),
        subject=str(message["Subject"] or ""),
        sent_at=_date(str(message["Date"] or "")),
        text=_part(message, "plain"),
        html=_part(message, "html"),
    )


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body(preferencelist=(kind,))
    return str(part.get_content()) if part is not None else ""


def _date(written: str) -> datetime | None:
    try:
        return parsedate_to_datetime(written).astimezone(UTC)
    except ValueError:
        return None
