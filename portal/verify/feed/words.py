"""Read what a program says on the line that it holds: in a body that goes on, line by line, where it stands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final
from uuid import UUID

from portal.verify.feed.exchanges import Receive
from portal.verify.reading import Refused, members_of

LONGEST_WORD: Final = 4096  # bytes; a position may list many open transactions
_JSON: Final = "application/json"  # each line of application/x-ndjson


async def words_of(receive: Receive) -> AsyncIterator[bytes]:
    """Yield each whole line as it comes; ends when the caller hangs up, or sends a line that does not end."""
    begun = b""
    while len(begun) <= LONGEST_WORD:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        *whole, begun = (begun + message.get("body", b"")).split(b"\n")
        for word in whole:
            yield word


def read_word(word: bytes) -> tuple[UUID, dict[str, object]]:
    """Read which verifier speaks, and the body of its acknowledgement; raises Refused."""
    said = members_of(word, _JSON, {"verifier", "applied"})
    try:
        return UUID(str(said.pop("verifier", ""))), said
    except ValueError:
        raise Refused(422, "invalid_input", {"verifier": "not_a_uuid"}) from None
