"""Answer ordinary questions at the speed of the server: a caller in force, a plain body, a verdict about the key.

Whatever is not plainly that goes to the careful way (portal/verify/memory.py), which decides about callers, about what cannot be
read, about scopes that are missing. What is said here the careful way would say too (tests/portal/verify/test_quick.py).
Nothing is remembered of a key but what memory holds of every key: each verdict is made anew, out of what is in force. What a caller
shows is digested once between two turns of the thread beside (docs/decisions/130); whether it may ask is asked each time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Any, ClassVar, Final

from keys.policy.addresses import read_address
from keys.states import VALID
from keys.verification.counting.tallies import SeenAs
from keys.verification.memory.lease import clock
from keys.verification.memory.recall import digest_of, why_refused
from keys.verification.memory.snapshot import Entry
from keys.verification.verifier import Client, Question
from portal.verify import patience
from portal.verify.memory import Memory
from portal.verify.reading import Body

LONGEST: Final = 4096
MOST_ADDRESSES: Final = 10_000
# By the text of the header: whoever writes a length in another way takes the careful one.
_LENGTHS: Final = {str(length): length for length in range(1, LONGEST + 1)}
# What a question says besides the key: which scopes are needed, and who presented it.
Around = tuple[tuple[str, ...], SeenAs]
Plain = tuple[bytes, Around]  # and the text that was presented


class Quick(ABC):
    """The ordinary path of one endpoint in one process."""

    kind: ClassVar[str]  # of the body

    def __init__(self, memory: Memory) -> None:
        self.answers = 0
        self._memory = memory
        self._feed = memory.feed
        self._at = 0.0  # the instant of the last question
        self._names: dict[str, bytes] = {}  # of callers that were answered since `forget`, by what they show

    def answer(self, environ: dict[str, Any]) -> bytes | Body:  # noqa: PLR0911, PLR0912 - one condition a line
        """The body of an answer with 200; or the question's own, perhaps read, for the careful way."""
        authorization: str = environ.get("HTTP_AUTHORIZATION", "")
        length = _LENGTHS.get(environ.get("CONTENT_LENGTH", ""))
        if (
            length is None
            or environ["REQUEST_METHOD"] != "POST"
            or environ["QUERY_STRING"]
            or environ.get("CONTENT_TYPE") != self.kind
            or "HTTP_CONTENT_ENCODING" in environ
        ):
            return Body(environ)
        feed = self._feed
        known = self._names.get(authorization)
        name = known or _name_in(authorization)
        caller = feed.snapshot.entries.get(name)
        if caller is None:
            return Body(environ)
        asking = caller.grant
        asks = asking.asks
        # Whoever may no longer ask is not waited for; by a clock that was read for a question of before, as it is read again below.
        if asks is None or not asking.is_open or self._at >= caller.until:
            return Body(environ)
        body = patience.read(environ, length)
        plain = self.read(body, environ)
        if plain is None:
            return Body(environ, body)
        text, (scopes, client) = plain
        # Only now: the body may have taken its time, and what was fresh or in force when it began need not be.
        now = clock()
        at = self._at = now + feed.offset
        if (
            at >= caller.until
            or now >= asks.fresh_until
            or now >= asking.place.fresh_until
            or (entries := feed.snapshot.entries).get(name) is not caller
        ):
            return Body(environ, body)
        tallies = self._memory.tallies.file
        entry = entries.get(digest_of(text))
        if entry is None:
            if scopes or not text.replace(b"_", b"").isalnum():
                return Body(
                    environ, body
                )  # the careful way says which of them nobody could have, or reads what was escaped
            said = self.unknown(text)
        else:
            grant = entry.grant
            if scopes and not grant.free.issuperset(scopes):
                return Body(environ, body)
            if at < entry.until and grant.place is asks and grant.is_open:
                said = self.valid(entry, at)
                tallies.count(entry, VALID, at, client)
            else:
                # A key with limits comes here too, and is for the careful way to count.
                reason = why_refused(entry, asks=asks, question=_question(scopes, client), at=at)
                if reason is None:
                    return Body(environ, body)
                said = self.refused(reason)
                tallies.count(entry, str(reason), at, client)
        tallies.count(caller, VALID, at, self._memory.seen_as(environ))
        if known is None:
            self._names[authorization] = name
        self.answers += 1
        return said

    def forget(self) -> None:
        """Keep no credential for longer than callers go on showing it."""
        self._names.clear()

    @abstractmethod
    def read(self, body: bytes, environ: dict[str, Any]) -> Plain | None:
        """Read a plain question; None for every other, however good."""

    @abstractmethod
    def valid(self, entry: Entry, at: float) -> bytes:
        """Say what a key opens."""

    @abstractmethod
    def refused(self, reason: str) -> bytes:
        """Say that it opens nothing, to whoever presented its secret."""

    @abstractmethod
    def unknown(self, text: bytes) -> bytes:
        """Say the same of a text that is no key's."""


@lru_cache(maxsize=MOST_ADDRESSES)
def address_of(text: str) -> str:
    """Read an address into its one form; ValueError otherwise."""
    return str(read_address(text))


def _name_in(authorization: str) -> bytes:
    """What memory knows the credential in a header by; of a header that is otherwise, what it knows nobody by."""
    return digest_of(authorization[7:].encode()) if authorization[:7] == "Bearer " else b""


def _question(scopes: tuple[str, ...], seen: SeenAs) -> Question:
    address, user_agent, instance = seen
    return Question(scopes=scopes, client=Client(address=address, user_agent=user_agent, instance=instance))
