"""A ring may bring the change itself: applied where it follows on what is held, and never a reason to believe for longer."""

import json
import queue
import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest
from fake_feed import PLACE, POLICY, FakeFeed, record, version
from fake_keystead import vectors
from hypothesis import given
from hypothesis import strategies as st
from keystead_client import LocalVerifier, Reason, Unreachable, digest
from keystead_client.events import reaches
from keystead_client.feed import NOT_PLAIN
from test_local import KEYS, KIDS, until

OTHER = vectors("key_text")["valid"][0]


@pytest.fixture
def feed(keystead, monkeypatch):
    monkeypatch.setattr("keystead_client.feed._SILENCE", 60.0)  # this bell does not beat
    feed = FakeFeed(keystead)
    feed.records = [record(digest(text), kid) for text, kid in zip(KEYS, KIDS, strict=True)]
    feed.renew_ms = 60_000  # nobody asks by itself within a test
    feed.lease_ms = 90_000
    feed.position = 10
    beside = f"{keystead.url}/beside"
    feed.beside = {"lease": f"{beside}/lease", "applied": f"{beside}/applied"}
    return feed


@contextmanager
def listening(keystead, method="GET", words=None):
    """A verifier that heard nothing yet, and how to send it something; what it says on its line becomes `words`."""
    said, over = queue.Queue(), threading.Event()

    def hear(line):
        with suppress(ValueError):  # it hung up
            while size := int(line.readline(), 16):
                words.append(line.read(size))
                assert line.read(2) == b"\r\n"

    def line(wire, other_way):
        if words is not None:
            threading.Thread(target=hear, args=(other_way,), daemon=True).start()
        while not over.is_set():
            with suppress(queue.Empty):
                wire.write(said.get(timeout=0.02))
                wire.flush()

    keystead.on(f"{method} /v1/feed", lambda _: (200, line))
    with LocalVerifier(keystead.url, credential=KEYS[6]) as verifier:
        until(lambda: verifier._bell is not None)
        yield verifier, said.put
        over.set()


def gone(kid, key_id="k-1"):
    return {"key_id": key_id, "versions": [], "signers": [], "gone": [kid]}


def test_a_change_that_comes_with_its_ring_is_applied_and_confirmed_without_a_renewal(keystead, feed):
    with listening(keystead) as (verifier, say):
        assert verifier.verify(KEYS[0])
        renewals = len(feed.applied)
        for number, kid in ((11, KIDS[0]), (12, KIDS[1])):
            say(feed.event(gone(kid, f"k-{number}"), since=feed.at(number - 1), position=feed.at(number)))
        until(lambda: feed.words == [feed.at(11), feed.at(12)])
        assert [verifier.verify(each).reason for each in KEYS[:2]] == [Reason.UNKNOWN] * 2
        assert verifier.verify(KEYS[2])
        back = {**gone("", "k-11"), "versions": [version(digest(KEYS[0]), KIDS[0])], "gone": []}
        say(feed.event(back, since=feed.at(12), position=feed.at(13)))  # as after a reinstatement
        until(lambda: verifier.verify(KEYS[0]))
        assert len(feed.applied) == renewals


def test_where_the_line_is_heard_what_was_applied_is_said_there(keystead, feed):
    feed.hears, words = True, []
    with listening(keystead, "POST", words) as (verifier, say):
        for number, kid in ((11, KIDS[0]), (12, KIDS[1])):
            say(feed.event(gone(kid, f"k-{number}"), since=feed.at(number - 1), position=feed.at(number)))
        until(lambda: len(words) == 2)
        assert [json.loads(word) for word in words] == [
            {"verifier": "v-1", "applied": feed.at(number)} for number in (11, 12)
        ]
        assert all(word.endswith(b"\n") for word in words)
        assert [verifier.verify(each).reason for each in KEYS[:2]] == [Reason.UNKNOWN] * 2
        (asked,) = (each for each in keystead.asked if each.path == "/v1/feed")
        assert (asked.headers["content-type"], asked.headers["transfer-encoding"]) == (
            "application/x-ndjson",
            "chunked",
        )
        verifier._bell._wire.shutdown(socket.SHUT_WR)
        say(feed.event(gone(KIDS[2], "k-13"), since=feed.at(12), position=feed.at(13)))
        until(lambda: feed.words == [feed.at(13)])  # said where everybody may say it


@pytest.mark.parametrize("between", ["keeps a request until it is whole", "lets no such request pass"])
def test_where_nobody_hears_the_line_it_is_listened_to_all_the_same(keystead, feed, monkeypatch, between):
    monkeypatch.setattr("keystead_client.feed._SILENCE", 0.2)
    feed.hears, over = True, threading.Event()

    def refuse(_):
        if between.startswith("keeps"):
            over.wait(30)
        return 405, b""

    keystead.on("POST /v1/feed", refuse)
    try:
        with listening(keystead) as (verifier, say):
            said = feed.event(gone(KIDS[0]), since=feed.at(10), position=feed.at(11))
            until(lambda: say(said) or feed.words == [feed.at(11)])
            assert not verifier._feed._hears, "it does not try that again for as long as it is registered"
    finally:
        over.set()


def test_a_line_may_come_in_pieces_and_one_without_an_end_is_not_kept(keystead, feed, monkeypatch):
    monkeypatch.setattr("keystead_client.local._CALLS_APART", 0.05)
    with listening(keystead) as (verifier, say):
        told = feed.event(gone(KIDS[0]), since=feed.at(10), position=feed.at(11))
        for begin in range(0, len(told), 7):
            say(told[begin : begin + 7])
        until(lambda: not verifier.verify(KEYS[0]))
        for _ in range(9):
            say(b"x" * 8192)
        until(lambda: sum(each.path == "/v1/feed" for each in keystead.asked) > 1)


def test_a_keystead_that_is_away_is_called_as_before_when_it_is_back(keystead, feed):
    feed.hears = True
    with listening(keystead, "POST", []) as (verifier, _):
        for method in ("POST", "GET"):
            keystead.on(f"{method} /v1/feed", (502, b""))
        with pytest.raises(Unreachable):
            verifier._feed.bell()
        assert verifier._feed._hears


def test_what_was_told_before_is_not_applied_again(keystead, feed):
    """A late event would bring back what was revoked since."""
    with listening(keystead) as (verifier, say):
        say(feed.event(gone(KIDS[0]), since=feed.at(10), position=feed.at(12)))
        until(lambda: not verifier.verify(KEYS[0]))
        before = {**gone(""), "versions": [version(digest(KEYS[0]), KIDS[0])], "gone": []}
        say(feed.event(before, since=feed.at(10), position=feed.at(11)))
        say(feed.event(before, since=feed.at(10), position=feed.at(12)))
        say(feed.event(gone(KIDS[1], "k-2"), since=feed.at(12), position=feed.at(13)))
        until(lambda: feed.words[-1:] == [feed.at(13)])
        assert not verifier.verify(KEYS[0])
        assert len(feed.applied) == 1, "nor is it asked for"


def test_what_shows_less_than_is_held_is_not_applied(keystead, feed):
    """Of two transactions at once, the held position shows one and the event the other."""
    with listening(keystead) as (verifier, _):
        held = verifier._feed.state.position = f"11:14:11@{feed.past}"
        told = feed.event(gone(KIDS[0]), since=feed.at(10), position=feed.at(13))
        assert not verifier._feed.hear(told.decode().split("data: ")[1], verifier._bell)
        assert (verifier._feed.state.position, verifier.verify(KEYS[0]).valid) == (held, True)
        told = feed.event(gone(KIDS[0]), since=feed.at(10), position=f"13:15:13@{feed.past}")
        assert not verifier._feed.hear(told.decode().split("data: ")[1], verifier._bell)
        told = feed.event(gone(KIDS[0]), since=feed.at(10), position=feed.at(14))
        assert verifier._feed.hear(told.decode().split("data: ")[1], verifier._bell)


def test_what_a_key_may_is_never_what_it_could_before_not_even_for_a_moment(keystead, feed):
    """The snapshot allows more than what was told since: it must not answer while, or because, a change cannot be read to its end."""
    with listening(keystead) as (verifier, _):
        state, known_by, seen = verifier._feed.state, digest(KEYS[0]), []
        narrow = version(known_by, KIDS[0], policy=POLICY | {"networks": ["10.0.0.0/8"]})

        class Looking(dict):
            def __getitem__(self, name):
                seen.append(state.find(known_by).policy.networks)
                return super().__getitem__(name)

        state.follow([{**gone("", "k-1"), "versions": [narrow], "gone": []}], feed.at(11))
        state.follow([{**gone("", "k-1"), "versions": [Looking(narrow)], "gone": []}], feed.at(12))
        odd = Looking(narrow, policy={"of": "another release"})
        with pytest.raises(KeyError):
            state.follow([{**gone("", "k-1"), "versions": [odd], "gone": []}], feed.at(13))
        assert len(seen) > 5
        assert all(seen)
        assert state.find(known_by).policy.networks
        assert state.position == feed.at(12)


@pytest.mark.parametrize(
    "doubt",
    ["forged", "of another place", "after a gap", "of another past", "without a signature", "no JSON", "no object", "too deep", "cut",
     "signed by another", "position that is none", "changes that are none"],
)  # fmt: skip
def test_whatever_is_in_doubt_is_asked_for(keystead, feed, doubt):
    back = {**gone(""), "versions": [version(digest(OTHER["text"]), OTHER["kid"])], "gone": []}
    with listening(keystead) as (verifier, say):
        since, position = feed.at(), feed.change(gone=(KIDS[1],))
        told = feed.event(back if doubt == "forged" else gone(KIDS[1]), since=since, position=position)
        if doubt == "forged":
            told = told.replace(b'"retires":false', b'"retires":true')
        elif doubt == "of another place":
            told = feed.event(gone(KIDS[1]), since=since, position=position, place=(PLACE[1], PLACE[0]))
        elif doubt == "after a gap":
            told = feed.event(gone(KIDS[1]), since=feed.at(11), position=feed.at(12))
        elif doubt == "of another past":
            other = feed.at(11).replace("0123", "4567")
            told = feed.event(gone(KIDS[1]), since=feed.at(10).replace("0123", "4567"), position=other)
        elif doubt == "without a signature":
            told = b'event: change\ndata: {"position":"%s"}\n\n' % position.encode()
        elif doubt == "signed by another":
            kept = feed.kid, feed.key, feed.x
            feed.sign_with("snap-2")
            told = feed.event(gone(KIDS[1]), since=since, position=position)
            feed.kid, feed.key, feed.x = kept
        elif doubt == "position that is none":
            told = feed.event(gone(KIDS[1]), since=since, position="soon")
        elif doubt == "changes that are none":
            told = feed.event({"gone": 1}, since=since, position=position)
        else:
            odd = {"no JSON": b"{", "no object": b"[]", "too deep": b"[" * 60_000, "cut": told[20:-90]}
            told = b"event: change\ndata: " + odd[doubt] + b"\n\n"
        say(told)
        until(lambda: len(feed.applied) == 2)
        assert feed.applied[1] == since, "nothing of it was taken for known"
        until(lambda: feed.words == [position])  # what the renewal brought
        assert not verifier.verify(KEYS[1])


def test_an_acknowledgement_that_is_not_taken_is_made_by_a_renewal(keystead, feed):
    feed.deaf = True
    with listening(keystead) as (verifier, say):
        since, position = feed.at(), feed.change(gone=(KIDS[0],))
        say(feed.event(gone(KIDS[0]), since=since, position=position))
        until(lambda: position in feed.applied)
        assert not verifier.verify(KEYS[0])


def test_a_keystead_that_takes_no_such_word_is_asked_as_before(keystead, feed):
    feed.beside.pop("applied")
    with listening(keystead) as (verifier, say):
        since, position = feed.at(), feed.change(gone=(KIDS[0],))
        say(feed.event(gone(KIDS[0]), since=since, position=position))
        until(lambda: position in feed.applied)
        assert feed.applied == [since, since, position]
        assert not verifier.verify(KEYS[0])


def test_what_is_told_makes_no_lease_longer(keystead, feed):
    feed.lease_ms = 600
    with listening(keystead) as (verifier, say):
        for number in range(11, 15):
            say(feed.event(gone(KIDS[0]), since=feed.at(10), position=feed.at(number)))
            time.sleep(0.1)
        assert verifier.lease_seconds < 0.3
        until(lambda: verifier.verify(KEYS[1]).reason == Reason.STALE)


def test_a_change_that_comes_while_it_closes_brings_nothing_back(keystead, feed, monkeypatch):
    with listening(keystead) as (verifier, _):
        follow, state = type(verifier._feed.state).follow, verifier._feed.state

        def closing(self, changes, position):
            follow(self, changes, position)
            verifier._feed.disbelieve()

        monkeypatch.setattr(type(state), "follow", closing)
        told = feed.event(gone(KIDS[0]), since=feed.at(10), position=feed.at(11))
        assert verifier._feed.hear(told.decode().split("data: ")[1], verifier._bell)
        assert verifier._feed.plain == NOT_PLAIN
        assert verifier.verify(KEYS[1]).reason == Reason.STALE


@st.composite
def snapshots(draw):
    """What PostgreSQL writes of eight transactions, and the set of those that it shows."""
    end = draw(st.integers(1, 9))
    still_open = draw(st.sets(st.integers(1, end - 1))) if end > 1 else set()
    least = min(still_open, default=end)
    text = f"{least}:{end}:{','.join(map(str, sorted(still_open)))}@past"
    return text, set(range(1, end)) - still_open, end


@given(snapshots(), snapshots())
def test_a_position_reaches_another_only_if_it_shows_all_that_the_other_shows(here, there):
    if reaches(here[0], there[0]):
        assert here[1] >= there[1]
    elif there[2] <= here[2]:
        assert not here[1] >= there[1], "and if its end lies no further it is never missed"


def test_a_position_of_another_past_reaches_nothing():
    assert reaches("1:9:@a", "1:5:@a")
    assert not reaches("1:9:@a", "1:5:@b")
    for odd in ("", "5", "1:2", "1:x:@a", "1:2:3:4@a"):
        with pytest.raises(ValueError, match=r"unpack|literal"):
            reaches("1:9:@a", odd)
