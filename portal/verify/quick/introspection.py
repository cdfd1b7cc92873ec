"""Read the plain questions of POST /oauth2/introspect and say what a token means, for the quick way."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final

from keys.verification.counting.tallies import NOBODY
from keys.verification.memory.snapshot import Entry
from portal.verify.introspection import INACTIVE, meaning_of
from portal.verify.quick.ordinary import Around, Plain, Quick, address_of
from portal.verify.reading import LONGEST_KEY

# Letters, digits and underscores stand for themselves in a form.
_FORM: Final = re.compile(rb"token=(\w{1,%d})(?:&token_type_hint=\w*)?" % LONGEST_KEY)

_NOTHING: Final[Around] = (), NOBODY


class QuickIntrospection(Quick):
    """The ordinary path of POST /oauth2/introspect."""

    kind: ClassVar[str] = "application/x-www-form-urlencoded"

    def read(self, body: bytes, environ: dict[str, Any]) -> Plain | None:
        form = _FORM.fullmatch(body)
        if form is None:
            return None
        address = environ.get("HTTP_KEYSTEAD_CLIENT_ADDRESS")
        if not address:
            return form[1], _NOTHING
        try:
            return form[1], ((), (address_of(address), "", ""))
        except ValueError:
            return None

    def valid(self, entry: Entry, at: float) -> bytes:
        return meaning_of(entry)

    def refused(self, reason: str) -> bytes:
        return INACTIVE

    def unknown(self, text: bytes) -> bytes:
        return INACTIVE
