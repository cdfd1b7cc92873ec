"""Limits a minute and a day: exact for one verifier in each minute of the clock, and nearly so in a window that slides."""

from __future__ import annotations

import sys
import threading
import uuid

from keys.verification.limits import DAY, MINUTE, Limiter
from keys.verification.reasons import Reason

KEY = uuid.uuid4()
BEGIN = 20_000.0 * DAY


def ask(limiter, at, times, **limits):
    return [limiter.refusal(KEY, limits.items(), at) for _ in range(times)]


def test_a_minute_lets_through_what_is_allowed_and_no_more():
    limiter = Limiter()
    assert ask(limiter, BEGIN, 6, requests_per_minute=5) == [None] * 5 + [Reason.RATE_LIMIT]
    assert limiter.refusal(uuid.uuid4(), [("requests_per_minute", 5)], BEGIN) is None, "each key has its own"


def test_the_turn_of_a_minute_gives_no_second_helping():
    """A window that jumps would let twice as much through around the turn."""
    limiter = Limiter()
    ask(limiter, BEGIN + 59, 10, requests_per_minute=10)
    assert ask(limiter, BEGIN + MINUTE, 1, requests_per_minute=10) == [Reason.RATE_LIMIT]
    assert ask(limiter, BEGIN + MINUTE + 30, 6, requests_per_minute=10) == [None] * 5 + [Reason.RATE_LIMIT]
    assert ask(limiter, BEGIN + 3 * MINUTE, 10, requests_per_minute=10) == [None] * 10


def test_sixty_seconds_hold_what_the_documentation_says():
    """One more where somebody asks all the time, twice the limit where all of it came in the last moment of a minute."""

    def most_within_a_minute(*asked):
        limiter, accepted = Limiter(), []
        for at in (*asked, *(MINUTE + step / 10 for step in range(20 * MINUTE))):
            accepted += [at] * ask(limiter, BEGIN + at, 1, requests_per_minute=30).count(None)
        assert all(sum(at // MINUTE == minute for at in accepted) <= 30 for minute in range(4)), "exact by the clock"
        return max(sum(at <= each < at + MINUTE for each in accepted) for at in accepted)

    assert most_within_a_minute(*(step / 10 for step in range(10 * MINUTE))) <= 31
    assert most_within_a_minute(*[MINUTE - 0.01] * 30) == 60


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
    monkeypatch.setattr("keys.verification.limits.MOST", 10)
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
