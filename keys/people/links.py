"""Make links that open something when they are shown or sent. Only a keyed hash of one is stored."""

from __future__ import annotations

import re
import secrets
from typing import Final

from django.conf import settings

from keys.crypto.secrets import Secret
from keys.crypto.session_hash import session_hash, session_hashes
from keys.sealing import keyring

INVITATION: Final = "invitation"
PASSWORD_RESET: Final = "password-reset"  # noqa: S105 - names a purpose
CALENDAR: Final = "calendar"
# The doors serve these paths (portal/accounts/urls.py; a test compares them).
PATHS: Final = {
    INVITATION: "/invitation/{token}/",
    PASSWORD_RESET: "/password-reset/{token}/",
    CALENDAR: "/calendar/{token}.ics",
}
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


def new_token() -> Secret:
    """Make 256 random bits."""
    return Secret(secrets.token_urlsafe(32))


def link_of(token: Secret, *, purpose: str) -> Secret:
    """Write the address that carries the token: show it once or send it, store it never."""
    return Secret(settings.KEYSTEAD_PUBLIC_URL + PATHS[purpose].format(token=token.reveal()))


def hash_of(token: Secret, *, purpose: str) -> str:
    """Return what is stored of a link."""
    return session_hash(token, purpose=purpose, keyring=keyring())


def hashes_of(token: str, *, purpose: str) -> tuple[str, ...]:
    """Return what may be stored of a presented token; nothing when it cannot be one of ours."""
    if not _TOKEN.fullmatch(token):
        return ()
    return session_hashes(token, purpose=purpose, keyring=keyring())
