"""Join the rows of devices to the keyring: hashes of what was presented, and the MACs that a change by SQL does not survive."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from keys.crypto.device_macs import DeviceSessionFields, SignInFields
from keys.crypto.key_text import is_token
from keys.crypto.row_mac import row_mac, verify_row_mac
from keys.crypto.secrets import Secret
from keys.crypto.session_hash import session_hash, session_hashes
from keys.models import DeviceSignIn, Session
from keys.sealing import keyring

# Each kind of text has hashes of its own: a token is no cookie, and a code that people type is no code of a machine.
DEVICE_CODE: Final = "device-code"
USER_CODE: Final = "device-user-code"
DEVICE_TOKEN: Final = "device-token"  # noqa: S105 - names a purpose
_DEVICE_CODE: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
# RFC 8628, section 6.1: no vowels, so no words; and easy to read aloud. 20 ** 8 is 34 bits, alive for ten minutes.
LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"
CODE_LENGTH: Final = 8
_USER_CODE: Final = re.compile(f"[{LETTERS}]{{{CODE_LENGTH}}}", re.ASCII)
_IS_OURS: Final[dict[str, Callable[[str], object]]] = {
    DEVICE_CODE: _DEVICE_CODE.fullmatch,
    USER_CODE: _USER_CODE.fullmatch,
    DEVICE_TOKEN: is_token,
}
_BETWEEN: Final = re.compile(r"[\s.\-\u2010-\u2015]+")


def hash_of(text: str | Secret, *, purpose: str) -> str:
    """Return what is stored of a code or token."""
    return session_hash(text, purpose=purpose, keyring=keyring())


def hashes_of(text: str, *, purpose: str) -> tuple[str, ...]:
    """Return what may be stored of a presented text; nothing when it cannot be one of ours."""
    return session_hashes(text, purpose=purpose, keyring=keyring()) if _IS_OURS[purpose](text) else ()


def canonical_user_code(typed: str) -> str:
    """Write a typed code the one way it is hashed, without what people put between letters; "" when it cannot be a code."""
    code = _BETWEEN.sub("", typed[:40]).upper()
    return code if _USER_CODE.fullmatch(code) else ""


def shown_user_code(code: str) -> str:
    """Write a code as people read it: BCDF-GHJK."""
    return f"{code[:4]}-{code[4:]}" if code else ""


def sign_in_fields(row: DeviceSignIn) -> SignInFields:
    """The columns of a sign-in that decide who gets what; how often it was polled is not among them."""
    return SignInFields(
        id=str(row.pk),
        device_hash=row.device_hash,
        code_hash=row.code_hash,
        name=row.name,
        ip=row.ip,
        user_agent=row.user_agent,
        created_at=row.created_at,
        expires_at=row.expires_at,
        person=_text(row.person_id),
        decided_at=row.decided_at,
        answer="allowed" if row.is_allowed else "",
        redeemed_at=row.redeemed_at,
        methods=tuple(row.methods),
        device=row.device,
        assurance=row.assurance,
    )


def session_fields(row: Session) -> DeviceSessionFields:
    """The columns of a device's session that decide whose it is and until when."""
    return DeviceSessionFields(
        id=str(row.pk),
        kind=str(row.kind),
        key_hash=row.key_hash,
        kid=row.kid,
        name=row.name,
        person=_text(row.person_id),
        signed_in_at=row.signed_in_at,
        ends_at=row.ends_at,
        ip=row.ip,
        user_agent=row.user_agent,
        methods=tuple(row.methods),
        device=row.device,
        assurance=row.assurance,
        auth_hash=row.auth_hash,
    )


def _text(pk: object) -> str | None:
    return None if pk is None else str(pk)


def mac_of(row: DeviceSignIn | Session) -> str:
    """Authenticate a row as it stands now."""
    return row_mac(_fields(row), keyring())


def is_genuine(row: DeviceSignIn | Session) -> bool:
    """Whether a row is as we wrote it."""
    return verify_row_mac(_fields(row), row.row_mac, keyring())


def _fields(row: DeviceSignIn | Session) -> SignInFields | DeviceSessionFields:
    return session_fields(row) if isinstance(row, Session) else sign_in_fields(row)
