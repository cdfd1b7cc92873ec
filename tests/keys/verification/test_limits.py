"""Limits a minute and a day: never more than the limit in any sixty seconds, and all of it again at most five seconds later."""

from __future__ import annotations

import json
import random
import sys
import threading
import uuid
from pathlib import Path

import pytest

from keys.verification.counting.limits import DAY, MINUTE, STEP, Limiter
from keys.verification.reasons import Reason

KEY = uuid.uuid4()
BEGIN = 20_000.0 * DAY


def ask(limiter, at, times, **limits):
    return [limiter.refusal(KEY, limits.items(), at) for _ in range(times)]


def test_a_minute_lets_through_what_is_allowed_and_no_more():
    limiter = Limiter()
    assert ask(limiter, BEGIN, 6, requests_per_minute=5) == [None] * 5 + [Reason.RATE_LIMIT]
    assert limiter.refusal(uuid.uuid4(), [("requests_per_minute", 5)], BEGIN) is None, "each key has its own"


def test_instants_of_the_vectors_are_answered_as_the_clients_answer_them():
    for case in json.loads((Path(__file__).parents[2] / "vectors" / "limits.json").read_text())["cases"]:
        limiter = Limiter()
        for at, times, accepted in case["asked"]:
            assert ask(limiter, BEGIN + at, times, **case["limits"]).count(None) == accepted, (case["name"], at)


@pytest.mark.parametrize("asks_at", ["the last moment of a minute", "all the time", "when it likes"])
def test_no_sixty_seconds_hold_more_than_the_limit(asks_at):
    """Nor is anybody kept from it for longer than is written down, however they ask: docs/verification.md, Limits."""
    chance = random.Random(asks_at)
    asked = {
        "the last moment of a minute": [MINUTE - 0.01] * 30 + [MINUTE + step / 10 for step in range(20 * MINUTE)],
        "all the time": [step / 10 for step in range(40 * MINUTE)],
        "when it likes": sorted(chance.expovariate(1 / 90) for _ in range(4000)),
    }[asks_at]
    limiter, accepted = Limiter(), []
    for at in asked:
        if limiter.refusal(KEY, [("requests_per_minute", 30)], BEGIN + at) is None:
            accepted.append(at)
        else:
            assert sum(at - MINUTE - STEP <= each for each in accepted) >= 30, at
    assert max(sum(at <= each < at + MINUTE for each in accepted) for at in accepted) == 30


def test_refusals_use_nothing_up():
    limiter = Limiter()
    ask(limiter, BEGIN, 100, requests_per_minute=5)
    assert ask(limiter, BEGIN + 2 * MINUTE, 5, requests_per_minute=5) == [None] * 5


def test_a_day_has_a_quota_that_begins_anew_at_midnight():
    limiter = Limiter()
    told = [limiter.refusal(KEY, [("requests_per_day", 3)], BEGIN + hour * 3600) for hour in range(4)]
    assert told == [None, None, None, Reason.QUOTA]
    assert ask(limiter, BEGIN + DAY, 1, requests_per_day=3) == [None]


def test_a_clock_that_is_set_back_by_a_moment_gives_no_second_helping():
    limiter = Limiter()
    assert ask(limiter, BEGIN + MINUTE, 5, requests_per_minute=5, requests_per_day=5) == [None] * 5
    told = ask(limiter, BEGIN + MINUTE - 0.01, 1, requests_per_minute=5)
    told += ask(limiter, BEGIN - 0.01, 1, requests_per_day=5)
    assert told == [Reason.RATE_LIMIT, Reason.QUOTA]
    assert ask(limiter, BEGIN - 10 * MINUTE, 1, requests_per_minute=5) == [None], "a clock that was wrong was put right"


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr("keys.verification.counting.limits.MOST", 10)
    limiter = Limiter()
    for day in range(3):
        for _ in range(10):
            limiter.refusal(uuid.uuid4(), [("requests_per_day", 3)], BEGIN + day * DAY)
    assert len(limiter.counted()) <= 20


def test_many_threads_get_together_what_one_would():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(50):
            limiter, accepted = Limiter(), []

            def use(limiter=limiter, accepted=accepted):
                accepted.extend(each is None for _ in range(10) for each in ask(limiter, BEGIN, 5, requests_per_day=50))

            threads = [threading.Thread(target=use) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sum(accepted) == 50
    finally:
        sys.setswitchinterval(before)
