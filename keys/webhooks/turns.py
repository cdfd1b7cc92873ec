"""Choose who is sent to next, so that slow receivers, or those of one host, leave threads to everybody else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import urlsplit
from uuid import UUID

AT_ONCE: Final = 16
# Receivers that did not accept their last delivery, or took their time over it, are likely to be slow again.
MOST_TARDY: Final = AT_ONCE // 2
# And so many are theirs however many prompt ones wait: a backlog of the others would keep them out until it is over, and only
# by a delivery they show that they are prompt again.
LEAST_TARDY: Final = AT_ONCE // 8
# Whoever becomes slow is known by it ten seconds later; until then the endpoints of one host, all chats of a company say, take no more.
MOST_FOR_ONE_HOST: Final = AT_ONCE // 4
LATE_MS: Final = 1000


class Holder(Protocol):
    """What holds a thread, or is going to."""

    @property
    def url(self) -> str: ...

    @property
    def is_tardy(self) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class Turn:
    """The first delivery that waits for an endpoint."""

    delivery_id: UUID
    url: str
    is_tardy: bool


def choose(waiting: Iterable[Turn], *, sending: Collection[Holder]) -> list[Turn]:
    """Return whom to send to beside those that are being sent to: in the given order, the tardy last and few of them."""
    hosts = Counter(_host(each) for each in sending)
    tardy = sum(each.is_tardy for each in sending)
    in_order = sorted(waiting, key=lambda turn: turn.is_tardy)
    kept = max(min(LEAST_TARDY - tardy, sum(each.is_tardy for each in in_order)), 0)
    chosen: list[Turn] = []
    for each in in_order:
        if len(sending) + len(chosen) >= AT_ONCE - (0 if each.is_tardy else kept):
            continue
        if hosts[_host(each)] >= MOST_FOR_ONE_HOST or (each.is_tardy and tardy >= MOST_TARDY):
            continue
        hosts[_host(each)] += 1
        tardy += each.is_tardy
        chosen.append(each)
    return chosen


def _host(holder: Holder) -> str:
    return urlsplit(holder.url).hostname or ""
