"""Leases are renewed for many at once, and for programs that are known before strangers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn
from uuid import uuid4

import pytest

from portal.verify import renewals
from portal.verify.problems import Reply
from portal.verify.reading import Refused
from portal.verify.renewals import Knock, Renewals

FEW = 10


def nobody(*_: object, **__: object) -> NoReturn:
    raise Refused(401, "invalid_token")


def knock(answer: Callable[[Reply | Refused], object], *, listens: bool = False) -> Knock:
    return Knock(
        authorization=f"Bearer {uuid4()}",
        address=None,
        user_agent="",
        verifier=uuid4(),
        body={},
        answer=answer,
        listens=listens,
    )


def test_who_holds_a_line_waits_for_few_strangers_and_all_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewals, "program_of", nobody)
    monkeypatch.setattr(renewals, "MOST_STRANGERS", FEW)
    served: list[str] = []
    over, strangers = threading.Event(), 4 * FEW
    waiting = Renewals(lambda _: [], fills=0)

    def say_stranger(_: Reply | Refused) -> None:
        served.append("stranger")
        if served.count("stranger") == 1:
            waiting.ask(knock(lambda _: served.append("came meanwhile"), listens=True))
        if len(served) == strangers + 2:
            over.set()

    for _ in range(strangers):
        waiting.ask(knock(say_stranger))
    waiting.ask(knock(lambda _: served.append("came last"), listens=True))
    waiting.start()
    assert over.wait(60)
    waiting.stop()
    assert served[0] == "came last"
    assert served.index("came meanwhile") <= FEW + 1


def test_a_round_is_told_at_once_where_those_who_wait_can_be_told() -> None:
    """To wake the loop for each of five hundred took longer than to serve them."""
    told: list[str] = []
    turns: list[Callable[[], None]] = []
    over = threading.Event()

    def run(tell: Callable[[], None]) -> None:
        turns.append(tell)
        over.set()

    waiting = Renewals(lambda _: [], fills=0, runs=run)
    for number in range(FEW):
        waiting.ask(replace(knock(lambda _, number=number: told.append(f"{number}")), caller=uuid4()))
    waiting.start()
    assert over.wait(60)
    waiting.stop()
    assert (len(turns), told) == (1, [])
    turns[0]()
    assert told == [f"{number}" for number in range(FEW)]
