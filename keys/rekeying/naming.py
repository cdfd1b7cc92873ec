"""Count the rows that each key of the keyring made and that still need it: whoever forgets the key loses them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from django.db.models import CharField, Count, F, Func, QuerySet, Value

from audit import clock
from keys.models import (
    CalendarFeed,
    DeviceSignIn,
    Invitation,
    KeyVersion,
    PasswordReset,
    RecoveryCode,
    Session,
    TotpDevice,
    WebhookEndpoint,
)
from keys.states import SessionKind

Rows = QuerySet[Any, Any]
# Where a stored text names the key that made it (POSIX, for PostgreSQL).
_OF_HASHES: Final = "^hmac-sha256:([^:]+):"
_OF_SLOW_HASHES: Final = r",keyid=([^$]+)\$"
_OF_SEALED: Final = r"^ks1\$[^$]+\$[^$]+\$([^$]+)\$"


def rows_by_key() -> Counter[str]:
    """How many stored texts name each key, by its id. What has ended and is only waiting to be deleted does not count."""
    counted: Counter[str] = Counter()
    for rows, column, form in _places(clock.now()):
        counted.update(_named(rows, column, form))
    return counted


def makers_of_versions() -> set[str]:
    """The keys that the row MACs of versions name, whatever the keyring holds."""
    return set(_named(KeyVersion.objects.all(), "row_mac", _OF_HASHES))


def _named(rows: Rows, column: str, form: str) -> dict[str, int]:
    name = Func(F(column), Value(form), function="substring", output_field=CharField())
    named = rows.exclude(**{column: ""}).order_by().values_list(name).annotate(Count("pk"))
    return {key: number for key, number in named if key}


def _places(at: datetime) -> Iterator[tuple[Rows, str, str]]:
    sessions = Session.objects.living()
    sign_ins = DeviceSignIn.objects.filter(expires_at__gt=at)
    yield KeyVersion.objects.all(), "row_mac", _OF_HASHES
    yield sessions.filter(kind=SessionKind.DEVICE), "row_mac", _OF_HASHES
    yield sign_ins, "row_mac", _OF_HASHES
    yield sessions, "key_hash", _OF_HASHES
    yield sign_ins, "device_hash", _OF_HASHES
    yield Invitation.objects.open(at), "link_hash", _OF_HASHES
    yield PasswordReset.objects.filter(used_at=None, expires_at__gt=at), "link_hash", _OF_HASHES
    yield CalendarFeed.objects.living(), "link_hash", _OF_HASHES
    yield RecoveryCode.objects.unused(), "hashed", _OF_SLOW_HASHES
    yield KeyVersion.objects.all(), "sealed_secret", _OF_SEALED
    yield WebhookEndpoint.objects.all(), "sealed_secret", _OF_SEALED
    yield WebhookEndpoint.objects.all(), "previous_secret", _OF_SEALED
    yield TotpDevice.objects.all(), "sealed_seed", _OF_SEALED
