"""Answer the ordinary question at the speed of the server: a caller in force, a plain body, a verdict about the key.

Whatever is not plainly that is None here, and the careful way decides (portal/verify/memory.py): about callers, about what
cannot be read, about scopes that are missing. What is said here the careful way would say too (tests/portal/verify/test_quick.py).
"""

from __future__ import annotations

import ipaddress
import json
from typing import Any, Final, NoReturn

from keys.policy.addresses import read_address
from keys.verification.lease import clock
from keys.verification.recall import name_of, why_refused, why_unknown
from keys.verification.tallies import NOBODY, SeenAs
from keys.verification.verifier import Client, Question
from portal.verify.memory import VALID, Instants, Memory
from portal.verify.reading import Body

LONGEST: Final = 4096
MOST_ADDRESSES: Final = 10_000
_JSON: Final = "application/json"
_CLIENT: Final = frozenset({"address", "user_agent", "instance"})


def _refuse(_text: str) -> NoReturn:
    raise ValueError


_NO: Final = b'{"valid":false,"reason":"%s"}'
_scan: Final = json.JSONDecoder(parse_float=_refuse, parse_constant=_refuse).scan_once  # type: ignore[attr-defined]  # it is there, unannotated
Plain = tuple[str, "list[str] | None", "SeenAs | None"]


def _question(scopes: list[str] | None, client: SeenAs | None) -> Question:
    address, user_agent, instance = client or NOBODY
    return Question(
        scopes=tuple(scopes or ()), client=Client(address=address, user_agent=user_agent, instance=instance)
    )


class Quick:
    """The ordinary path of one process."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._feed = memory.feed
        self._instants = Instants()
        self._addresses: dict[str, str] = {}

    def verify(self, environ: dict[str, Any], body: Body) -> bytes | None:  # noqa: PLR0911 - one condition a line
        """The body of a verdict, or None."""
        authorization: str = environ.get("HTTP_AUTHORIZATION", "")
        if authorization[:7] != "Bearer " or environ["QUERY_STRING"] or environ.get("CONTENT_TYPE") != _JSON:
            return None
        feed = self._feed
        now = clock()
        caller = feed.snapshot.entries.get(name_of(authorization[7:]))
        if (
            caller is None
            or now + feed.offset >= caller.until
            or now >= caller.grant.place.fresh_until
            or not caller.grant.is_open
        ):
            return None
        asks = caller.grant.asks
        if asks is None or now >= asks.fresh_until or "HTTP_CONTENT_ENCODING" in environ:
            return None
        plain = self.read(body.read())
        if plain is None:
            return None
        key, scopes, client = plain
        # Only now: the body may have taken its time, and what was fresh when it began need not be.
        now, entries, tallies = clock(), feed.snapshot.entries, self._memory.tallies.file
        at = now + feed.offset
        if at >= caller.until or now >= asks.fresh_until:
            return None
        entry = entries.get(name_of(key))
        if entry is None:
            if scopes:
                return None  # the careful way says which of them nobody could have
            reason = why_unknown(key)
        else:
            grant = entry.grant
            if scopes and not grant.free.issuperset(scopes):
                return None
            if at < entry.until and grant.place is asks and grant.is_open:
                tallies.count(caller, VALID, at, self._memory.seen_as(environ))
                tallies.count(entry, VALID, at, client)
                return b'{"valid":true,%s,%s,"verified_at":"%s"}' % (entry.told, grant.told, self._instants.told(at))
            # A key with limits comes here too, and is for the careful way to count.
            refused = why_refused(entry, asks=asks, question=_question(scopes, client), at=at)
            if refused is None:
                return None
            reason = refused
            tallies.count(entry, str(reason), at, client or NOBODY)
        tallies.count(caller, VALID, at, self._memory.seen_as(environ))
        return _NO % reason.encode()

    def read(self, body: bytes) -> Plain | None:
        """Read a body without escapes whose members are all known; None for every other, however good."""
        if b"\\" in body or len(body) > LONGEST:
            return None
        try:
            text = body.decode()
            value, end = _scan(text, 0)
        except (ValueError, StopIteration, RecursionError):
            return None
        if end != len(text) or type(value) is not dict:
            return None
        key = value.get("key")
        if type(key) is not str:
            return None
        if len(value) == 1:
            return (key, None, None) if body.count(b'"') == 4 else None
        return self._more(value, key, body)

    def _more(self, value: dict[str, Any], key: str, body: bytes) -> Plain | None:
        # Without escapes every quotation mark borders a text; a name that came twice would show by two too many.
        texts, known = 2, 1
        scopes = value.get("scopes")
        if scopes is not None:
            if type(scopes) is not list or not all(type(each) is str for each in scopes):
                return None
            texts, known = texts + 1 + len(scopes), known + 1
        if "method" in value:
            method = value["method"]
            if type(method) is not str or not (method.isascii() and method.isalpha() and method.isupper()):
                return None
            texts, known = texts + 2, known + 1
            if len(method) > 20:
                return None
        seen: SeenAs | None = None
        if "client" in value:
            client = value["client"]
            if type(client) is not dict or not client.keys() <= _CLIENT:
                return None
            seen = self._client(client)
            if seen is None:
                return None
            texts, known = texts + 1 + 2 * len(client), known + 1
        return (key, scopes, seen) if known == len(value) and body.count(b'"') == 2 * texts else None

    def _client(self, client: dict[str, Any]) -> SeenAs | None:
        address, user_agent, instance = client.get("address"), client.get("user_agent", ""), client.get("instance", "")
        if type(user_agent) is not str or type(instance) is not str or len(user_agent) > 200 or len(instance) > 100:
            return None
        if address is None:
            return (None, user_agent, instance) if "address" not in client else None
        known = self._addresses.get(address) if type(address) is str else None
        if known is None:
            try:
                known = str(read_address(address if type(address) is str else ""))
            except (ValueError, ipaddress.AddressValueError):
                return None
            if len(self._addresses) >= MOST_ADDRESSES:
                self._addresses.clear()
            self._addresses[address] = known
        return known, user_agent, instance
