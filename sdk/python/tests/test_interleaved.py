"""Between any two steps of whoever decides, another thread may apply a stop: from then on nobody decides by what was before."""

import functools
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from fake_feed import FakeFeed, record
from fake_keystead import vectors
from keystead_client import LocalVerifier, Reason, digest
from keystead_client.beliefs import NEVER, State
from keystead_client.feed import CLOCK, clock
from keystead_client.snapshots import read_snapshot
from test_local_signatures import KID as SIGNING
from test_local_signatures import PUBLIC, Says, signed

TEXT, KID = (vectors("key_text")["valid"][0][name] for name in ("text", "kid"))
LINE = SimpleNamespace(speaks=False)


class Held:
    """A verifier that nobody follows, and the ring that stops all that it holds."""

    def __init__(self) -> None:
        feed = FakeFeed(SimpleNamespace(on=lambda *_: None))  # nobody asks it
        feed.records, feed.signers = [record(digest(TEXT), KID)], [record(PUBLIC, SIGNING)]
        self.verifier = LocalVerifier("http://localhost:1", credential=TEXT, nonces=Says(True))
        self.verifier._started = True
        self.request = signed()
        self.feed = self.verifier._feed
        self.feed._keys, self.feed._takes_word = {feed.kid: feed.x}, True
        self.feed.state = State(read_snapshot(feed.snapshot(), keys=self.feed._keys))
        now = clock(CLOCK)
        self.feed.believe(now + 60, offset=time.time() - now)
        change = {"key_id": "k-1", "versions": [], "signers": [], "gone": [KID, SIGNING]}
        self.ring = feed.event(change, since=feed.at(0), position=feed.at(1)).decode().partition("data:")[2]

    def stop(self) -> None:
        self.feed.hear(self.ring, LINE)
        assert self.feed.state.position.startswith("1:")


def presented(held: Held) -> Reason | None:
    return held.verifier.verify(TEXT).reason


def signed_request(held: Held) -> Reason | None:
    return held.verifier.verify_signature(held.request).reason


def nothing(held: Held) -> None:
    """Nobody presented anything lately."""


def known(held: Held) -> None:
    assert presented(held) is signed_request(held) is None


def known_and_asked_anew(held: Held) -> None:
    """As a lease begins that outlasts some key: what was found is known, and asked every question."""
    known(held)
    held.feed.state.plain, held.feed.state.plain_ends = {}, NEVER
    now = clock(CLOCK)
    held.feed.believe(now + 60, offset=time.time() - now)


def interrupted(asks, step: int, act) -> bool:
    """Ask, and have another thread act before that step of Python; False: it has not so many."""
    steps, stopping = iter(range(step)), None

    def trace(frame, event, _):
        nonlocal stopping
        if "keystead_client" not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode" and stopping is None and next(steps, None) is None:
            stopping = threading.Thread(target=act)
            stopping.start()
            stopping.join(0.02)  # it may wait for a lock that is held here
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        asks()
    finally:
        sys.settrace(before)
    if stopping is None:
        return False
    stopping.join()
    return True


@pytest.mark.parametrize("before", [nothing, known, known_and_asked_anew])
@pytest.mark.parametrize("asks", [presented, signed_request])
def test_a_stop_between_any_two_steps_holds_from_then_on(asks, before):
    step = 0
    while True:
        held = Held()
        before(held)
        if not interrupted(functools.partial(asks, held), step, held.stop):
            break
        assert (presented(held), signed_request(held)) == (Reason.UNKNOWN, Reason.SIGNATURE_INVALID), f"step {step}"
        step += 1
    assert step > 20


def test_a_lease_that_is_given_back_between_any_two_steps_is_believed_no_more():
    """Whoever waits for a receipt does not wait for a verifier that has left."""
    step = 0
    while True:
        held = Held()
        until = clock(CLOCK) + 60
        if not interrupted(lambda feed=held.feed, until=until: feed.believe(until, offset=0.0), step, held.feed.leave):
            break
        assert presented(held) == Reason.STALE, f"step {step}"
        step += 1
    assert step > 5
