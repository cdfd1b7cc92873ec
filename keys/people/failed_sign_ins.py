"""Name the counters of wrong passwords by a keyed hash of the address, and forget somebody's."""

from __future__ import annotations

from collections.abc import Iterable

from django.apps import apps

from keys.crypto.session_hash import session_hash, session_hashes
from keys.sealing import keyring

_PURPOSE = "failed-sign-ins"
_TABLES = ("accessattempt", "accesslog", "accessfailurelog")


def counted_as(address: str) -> str:
    """Return the name under which failures for this address are counted."""
    return session_hash(address, purpose=_PURPOSE, keyring=keyring())


def forget_failures(addresses: Iterable[str]) -> None:
    """Delete the counters of these addresses: they keep from where it was tried."""
    names = [name for each in addresses for name in session_hashes(each, purpose=_PURPOSE, keyring=keyring())]
    for table in _TABLES:
        apps.get_model("axes", table)._default_manager.filter(username__in=names).delete()
