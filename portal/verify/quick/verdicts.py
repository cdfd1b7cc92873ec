"""Read the plain questions of POST /v1/verify and say the verdicts, for the quick way.

Most questions are one key and what they share with thousands of others: which scopes are needed, by whose request. So the key is
taken out, and what stands around it is read once and remembered by its bytes. It is words of the question alone, never of an
answer, and holds no key.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from keys.verification.counting.tallies import NOBODY, SeenAs
from keys.verification.memory.recall import why_unknown
from keys.verification.memory.snapshot import Entry
from portal.verify.memory import Instants, Memory
from portal.verify.quick.ordinary import LONGEST, Around, Plain, Quick, address_of
from portal.verify.reading import MOST_SCOPES, scanned

MOST_REMEMBERED: Final = 4096
LONGEST_REMEMBERED: Final = 512  # bytes; so 5 MB as questions are, and 25 MB if somebody tries
_CLIENT: Final = frozenset({"address", "user_agent", "instance"})
_COLONS: Final = (b":", b": ")


class QuickVerdicts(Quick):
    """The ordinary path of POST /v1/verify."""

    kind: ClassVar[str] = "application/json"

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory)
        self._instants = Instants()
        self._around: dict[bytes, Around] = {}

    def valid(self, entry: Entry, at: float) -> bytes:
        return b'{"valid":true,%s,%s,"verified_at":"%s"}' % (entry.told, entry.grant.told, self._instants.told(at))

    def refused(self, reason: str) -> bytes:
        return b'{"valid":false,"reason":"%s"}' % reason.encode()

    def unknown(self, text: bytes) -> bytes:
        return self.refused(why_unknown(text.decode()))

    def read(self, body: bytes, environ: dict[str, Any]) -> Plain | None:
        """Take the key out of a body that begins with it, as most do; any other is read as it stands."""
        try:
            begin, name, colon, text, rest = body.split(b'"', 4)
        except ValueError:
            return None
        # If the text is that of a key, it holds letters, digits and underscores, which mean the same in every JSON.
        if begin != b"{" or name != b"key" or colon not in _COLONS:
            return read_plain(body)
        around = self._around.get(rest)
        if around is None:
            return self._learn(body, rest)
        return text, around

    def _learn(self, body: bytes, rest: bytes) -> Plain | None:
        plain = read_plain(body)
        if plain is not None and len(rest) <= LONGEST_REMEMBERED:
            if len(self._around) >= MOST_REMEMBERED:
                self._around.clear()
            self._around[rest] = plain[1]
        return plain


def read_plain(body: bytes) -> Plain | None:  # noqa: PLR0911 - one condition a line
    """Read a body without escapes whose members are all known; None for every other, however good."""
    if b"\\" in body or len(body) > LONGEST:
        return None
    value = scanned(body)
    if value is None:
        return None
    key = value.get("key")
    if type(key) is not str or not key:
        return None
    # Without escapes every quotation mark borders a text; a name that came twice would show by two too many.
    texts, known = 2, 1
    scopes = value.get("scopes")
    if scopes is not None:
        if type(scopes) is not list or len(scopes) > MOST_SCOPES or not all(type(each) is str for each in scopes):
            return None
        texts, known = texts + 1 + len(scopes), known + 1
    if "method" in value:
        method = value["method"]
        if type(method) is not str or not (method.isascii() and method.isalpha() and method.isupper()):
            return None
        texts, known = texts + 2, known + 1
        if len(method) > 20:
            return None
    seen = NOBODY
    if "client" in value:
        client = value["client"]
        read = _client(client)
        if read is None:
            return None
        seen = read
        texts, known = texts + 1 + 2 * len(client), known + 1
    return (
        (key.encode(), (tuple(scopes or ()), seen)) if known == len(value) and body.count(b'"') == 2 * texts else None
    )


def _client(client: Any) -> SeenAs | None:  # Any: whatever JSON held
    if type(client) is not dict or not client.keys() <= _CLIENT:
        return None
    address, user_agent, instance = client.get("address"), client.get("user_agent", ""), client.get("instance", "")
    if type(user_agent) is not str or type(instance) is not str or len(user_agent) > 200 or len(instance) > 100:
        return None
    if "address" not in client:
        return None, user_agent, instance
    try:
        return address_of(address if type(address) is str else ""), user_agent, instance
    except ValueError:
        return None
