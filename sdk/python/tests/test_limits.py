"""Limits in process: exact for one program, in any sixty seconds; the portal's own are tests/keys/verification/test_limits.py."""

import random
import threading
import time

import pytest
from fake_feed import POLICY, FakeFeed, record, version
from fake_keystead import vectors
from keystead_client import Client, LocalVerifier, Reason, digest, limits
from keystead_client.limits import Limits

KEYS = [each["text"] for each in vectors("key_text")["valid"]]
KIDS = [each["kid"] for each in vectors("key_text")["valid"]]
DAY = 86_400
BEGIN = 20_000.0 * DAY


def until(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def ask(limits, at, times, **most):
    return [limits.refusal("k", most, at) for _ in range(times)]


def test_instants_of_the_vectors_are_answered_as_the_portal_answers_them():
    for case in vectors("limits")["cases"]:
        counted = Limits()
        for at, times, accepted in case["asked"]:
            assert ask(counted, BEGIN + at, times, **case["limits"]).count(None) == accepted, (case["name"], at)


def test_no_sixty_seconds_hold_more_than_the_limit():
    chance = random.Random(60)
    counted, accepted = Limits(), []
    for at in sorted(chance.expovariate(1 / 90) for _ in range(4000)):
        if counted.refusal("k", {"requests_per_minute": 30}, BEGIN + at) is None:
            accepted.append(at)
        else:
            assert sum(at - 65 <= each for each in accepted) >= 30, at
    assert max(sum(at <= each < at + 60 for each in accepted) for at in accepted) == 30


def test_a_minute_slides_and_a_day_begins_at_midnight():
    counted = Limits()
    assert ask(counted, BEGIN + 59, 6, requests_per_minute=5) == [None] * 5 + [Reason.RATE_LIMIT]
    assert ask(counted, BEGIN + 60, 1, requests_per_minute=5) == [Reason.RATE_LIMIT], "no second helping at the turn"
    assert ask(counted, BEGIN + 119, 1, requests_per_minute=5) == [Reason.RATE_LIMIT], "nor within sixty seconds"
    assert ask(counted, BEGIN + 120, 6, requests_per_minute=5) == [None] * 5 + [Reason.RATE_LIMIT]
    assert counted.refusal("other", {"requests_per_minute": 1}, BEGIN + 90) is None
    counted = Limits()
    assert ask(counted, BEGIN + 60, 5, requests_per_minute=5) == [None] * 5
    assert ask(counted, BEGIN + 59.9, 1, requests_per_minute=5) == [Reason.RATE_LIMIT], (
        "nor for a clock that is set back"
    )
    counted = Limits()
    assert ask(counted, BEGIN, 4, requests_per_day=3) == [None] * 3 + [Reason.QUOTA]
    assert ask(counted, BEGIN + DAY - 1, 1, requests_per_day=3) == [Reason.QUOTA]
    assert ask(counted, BEGIN + DAY, 4, requests_per_day=3) == [None] * 3 + [Reason.QUOTA]
    assert ask(counted, BEGIN + DAY - 1, 1, requests_per_day=3) == [Reason.QUOTA], "nor by the day"
    assert ask(counted, BEGIN, 3, concurrent=1) == [None] * 3, "what is no limit on requests is not made one"


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(limits, "_MOST", 10)
    counted = Limits()
    for day in range(3):
        for number in range(10):
            counted.refusal(f"{day}-{number}", {"requests_per_day": 3}, BEGIN + day * DAY)
    assert len(counted._counts) <= 20


class Slowly(dict):
    """Limits whose reading lets the other threads go on."""

    def get(self, *asked):
        time.sleep(0)
        return super().get(*asked)


def test_many_threads_get_together_what_one_would():
    counted, accepted, most = Limits(), [], Slowly(requests_per_day=50)

    def use():
        accepted.extend(counted.refusal("k", most, BEGIN) is None for _ in range(25))

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(accepted) == 50


@pytest.mark.parametrize("client", [None, Client(address="192.0.2.1")])
def test_a_key_with_limits_is_held_to_them_however_often_it_was_seen(keystead, client):
    feed = FakeFeed(keystead)
    feed.policies = [POLICY | {"limits": {"requests_per_day": 3}}, POLICY]
    feed.records = [record(digest(KEYS[0]), KIDS[0]), record(digest(KEYS[1]), KIDS[1], policy=1)]
    with LocalVerifier(keystead.url, credential=KEYS[6]) as verifier:
        more = {} if client is None else {"client": client}
        assert verifier.verify(KEYS[0], scopes=["x"], **more).reason == Reason.SCOPE, "a refusal uses nothing up"
        said = [verifier.verify(KEYS[0], **more) for _ in range(5)]
        assert [each.reason for each in said] == [None] * 3 + [Reason.QUOTA] * 2
        assert said[-1].status == 429
        assert all(verifier.verify(KEYS[1], **more) for _ in range(10))
        limited = POLICY | {"limits": {"requests_per_day": 1}}
        position = feed.change(version(digest(KEYS[1]), KIDS[1], policy=limited))
        until(lambda: position in feed.applied)
        assert [verifier.verify(KEYS[1], **more).reason for _ in range(2)] == [None, Reason.QUOTA]
    told = {(use["kid"], use["outcome"]): use["count"] for use in feed.uses}
    assert (told[KIDS[0], "valid"], told[KIDS[0], "quota"], told[KIDS[0], "scope"]) == (3, 2, 1)
