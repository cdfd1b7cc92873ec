"""Know who listens to the feed, tell each what changed of what it may hold, and nobody else."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, defaultdict, deque
from typing import Any, Final
from uuid import UUID

from audit.canonical import canonical_json
from keys.verification.credentials import Credential
from keys.verification.programs.ringing import Ring
from keys.verification.programs.telling import SIGNED_EVENT, Place, signed

MOST_WAITING: Final = 64 * 1024  # bytes that wait for one reader; behind more it has lost the thread, and asks
LONGEST_EVENT: Final = 48 * 1024  # bytes; clients read lines of 64 KiB
MOST_LATELY: Final = 1000  # rings that are remembered for those who come meanwhile
BEAT: Final = b": beat\n\n"


class Line:
    """One program that listens, with what it has still to be told. A slow reader is told of the latest change."""

    def __init__(self, caller: Credential, shown: bytes) -> None:
        assert caller.asks_about is not None
        self.caller = caller
        self.shown = shown  # by what it was recognised
        self.place = caller.asks_about.service_id, caller.asks_about.environment_id
        self.is_only_rung = False
        self.is_over = False
        self.owes = 0  # words: one for each change that it was brought
        self._waiting = b""
        self._woken = asyncio.Event()

    def tell(self, text: bytes) -> None:
        """Send this after what waits, or in place of it: whoever misses a change notices it by the next."""
        self._waiting = self._waiting + text if len(self._waiting) < MOST_WAITING else text
        self._woken.set()

    def bring(self, change: bytes) -> None:
        """Tell of a change; where it is applied, its program will say so."""
        self.owes += 1
        self.tell(change)

    def beat(self) -> None:
        if not self._waiting:
            self.tell(BEAT)

    def end(self) -> None:
        self.is_over = True
        self._woken.set()

    async def next(self) -> bytes:
        """Wait for something to send."""
        await self._woken.wait()
        self._woken.clear()
        text, self._waiting = self._waiting, b""
        return text


class Lines:
    """All who listen. For one thread, that of the event loop."""

    def __init__(self) -> None:
        self.all: set[Line] = set()
        self.last = b""  # the latest ring, without what changed
        self.rings = 0
        self._of_one: Counter[UUID] = Counter()
        self._by_shown: defaultdict[bytes, set[Line]] = defaultdict(set)
        self._lately: deque[tuple[int, frozenset[UUID] | None]] = deque(maxlen=MOST_LATELY)

    def add(self, line: Line) -> None:
        self.all.add(line)
        self._by_shown[line.shown].add(line)
        self._of_one[line.caller.key_id] += 1

    def remove(self, line: Line) -> None:
        self.all.discard(line)
        self._of_one[line.caller.key_id] -= 1
        self._by_shown[line.shown].discard(line)
        if not self._by_shown[line.shown]:
            del self._by_shown[line.shown]

    def count_of(self, credential: UUID) -> int:
        return self._of_one[credential]

    def listener(self, shown: bytes) -> UUID | None:
        """Whose credential that is, where its holder listens: shown minutes ago, and the line would have ended with a change."""
        lines = self._by_shown.get(shown, ())
        return next((line.caller.key_id for line in lines if not (line.is_over or line.is_only_rung)), None)

    def rang_since(self, number: int, credential: UUID) -> bool:
        """Whether a credential changed, or may have, after that ring: whoever listens only now was not told."""
        missed = [keys for each, keys in self._lately if each > number]
        return len(missed) != self.rings - number or any(keys is None or credential in keys for keys in missed)

    def ring(self, ring: Ring) -> None:
        """Tell all whom it concerns. Whose credential changed has to show it again; whose may have, is only rung until it does."""
        self.rings += 1
        self._lately.append((self.rings, ring.keys))
        self.last = plain = _event({"position": ring.position})
        told: dict[Place, bytes | None] = {}
        for line in self.all:
            line.is_only_rung = line.is_only_rung or ring.keys is None
            if ring.keys is not None and line.caller.key_id in ring.keys:
                line.tell(plain)
                line.end()
            elif ring.places is not None and line.place not in ring.places:
                continue
            else:
                if line.place not in told:
                    told[line.place] = told_of(ring, line.place)
                change = None if line.is_only_rung else told[line.place]
                if change is None:
                    line.tell(plain)
                else:
                    line.bring(change)


def shown_by(authorization: str, address: str | None) -> bytes:
    """What a credential that was shown from somewhere is known by, without being kept."""
    return hashlib.sha256(f"{address} {authorization}".encode()).digest()


def told_of(ring: Ring, place: Place) -> bytes | None:
    """What became of the keys of a place, signed: one signature for all who listen there."""
    told = ring.told.get(place)
    if told is None:
        return None
    body = {"since": told.since, "position": ring.position, "changes": list(told.changes)}
    event = _event(signed(SIGNED_EVENT, f"{place[0]}\n{place[1]}\n", body))
    return event if len(event) < LONGEST_EVENT else None


def _event(value: dict[str, Any]) -> bytes:
    return b"event: change\ndata: " + canonical_json(value) + b"\n\n"
