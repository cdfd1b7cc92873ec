"""Say in words how somebody proved who they are; pages, administration and log use these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

METHODS: Final[Mapping[str, Promise]] = {
    "password": _("a password"),
    "passkey": _("a passkey"),
    "presence": _("a passkey, without a signature"),
    "totp": _("a code from an app"),
    "recovery": _("a recovery code"),
    "device": _("a code allowed in a browser"),
    "managed-key": _("a key"),
    "signed-request": _("a signed request"),
}


def method_words(method: str) -> str:
    """Say one way; one that is not known is its own name."""
    return str(METHODS.get(method, method))


def methods_words(methods: Iterable[str]) -> str:
    """Say all ways that were taken, in their order."""
    return " + ".join(map(method_words, methods))
