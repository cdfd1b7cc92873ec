"""Verifiers share a limit over Valkey, and whatever becomes of Valkey, the limit grows no wider than is written down."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
import redis

from keys.crypto.keyring import Keyring
from keys.sealing import keyring
from keys.verification.counting import count_reports
from keys.verification.counting.count_reports import read_report, write_report
from keys.verification.counting.limits import DAY, MINUTE, STEP, STEPS, Counts, Limiter
from keys.verification.counting.roster import Roster, read_roster
from keys.verification.counting.shared_limits import DOUBT, PERIOD, PLACE, SharedLimits
from keys.verification.memory import lease
from keys.verification.memory.feed import Feed
from keys.verification.reasons import Reason
from tests.keys.verification.following import following

KEY = uuid4()
BEGIN = 20_000.0 * DAY + 1_000 * MINUTE
NOWHERE = "redis://127.0.0.1:1/0"


class Clock:
    """The time of everybody here."""

    def __init__(self) -> None:
        self.at = BEGIN


class Verifier:
    """One process that counts: what it accepts, tells and hears."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.feed = Feed(name="counting")
        self.limiter = Limiter()
        self.shared = SharedLimits(self.limiter, self.feed)

    @property
    def name(self) -> UUID:
        return self.feed.holder.id

    @property
    def place(self) -> str:
        return PLACE.format(self.name)

    def accepts(self, times: int, **limits: int) -> int:
        """Of so many requests, how many."""
        return [self.limiter.refusal(KEY, limits.items(), self.clock.at) for _ in range(times)].count(None)

    def loses_valkey(self) -> None:
        self.shared._valkey = redis.Redis.from_url(NOWHERE, socket_connect_timeout=0.2, retry=None)

    def finds_valkey(self) -> None:
        self.shared._valkey = redis.Redis.from_url(os.environ["REDIS_URL"])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, valkey: redis.Redis) -> Clock:
    clock = Clock()
    monkeypatch.setattr(lease, "clock", lambda: clock.at)
    return clock


def together(*verifiers: Verifier, gone: tuple[Verifier, ...] = ()) -> None:
    """Let each know of all others, as the leases in the database say."""
    for each in verifiers:
        each.shared.roster = Roster(
            living=frozenset(other.name for other in verifiers), gone=frozenset(other.name for other in gone)
        )


def counts_of(at: float, *, now: int, today: int) -> Counts:
    """What somebody counted until then."""
    return Counts(window=(int(at // STEP), [now, *[0] * (STEPS - 1)]), day=int(at // DAY), today=today)


def exchange(*verifiers: Verifier) -> None:
    """Until each has heard what the others say of what they heard."""
    for _ in range(3):
        for each in verifiers:
            each.clock.at += 0.001  # no two reports are of the same instant
            each.shared.exchange()


@pytest.fixture
def two(clock: Clock) -> tuple[Verifier, Verifier]:
    one, other = Verifier(clock), Verifier(clock)
    together(one, other)
    exchange(one, other)
    return one, other


@pytest.mark.parametrize(
    ("limits", "refused"),
    [({"requests_per_minute": 10}, Reason.RATE_LIMIT), ({"requests_per_day": 10}, Reason.QUOTA)],
)
def test_two_verifiers_share_one_limit(two, clock, limits, refused):
    one, other = two
    assert one.accepts(6, **limits) == 6
    exchange(one, other)
    assert other.accepts(10, **limits) == 4
    assert other.limiter.refusal(KEY, limits.items(), clock.at) == refused
    exchange(one, other)
    assert one.accepts(10, **limits) == 0


def test_more_than_the_limit_is_only_what_came_between_two_reports(two, clock):
    one, other = two
    accepted = 0
    for _ in range(100):
        accepted += one.accepts(2, requests_per_day=150) + other.accepts(3, requests_per_day=150)
        one.shared.exchange()
        other.shared.exchange()
        clock.at += PERIOD
    assert 150 <= accepted <= 150 + 5


def test_the_window_slides_over_all_of_them(two, clock):
    """However the turn of a minute lies between what one accepts and what the other does."""
    one, other = two
    clock.at = BEGIN + 20
    assert one.accepts(4, requests_per_minute=10) == 4
    clock.at = BEGIN + 59
    assert one.accepts(2, requests_per_minute=10) + other.accepts(4, requests_per_minute=10) == 6
    exchange(one, other)
    for at in (60, 84):
        clock.at = BEGIN + at
        assert one.accepts(5, requests_per_minute=10) == other.accepts(5, requests_per_minute=10) == 0
        exchange(one, other)
    clock.at = BEGIN + 86
    assert other.accepts(9, requests_per_minute=10) == 4
    exchange(one, other)
    clock.at = BEGIN + 119
    assert one.accepts(9, requests_per_minute=10) == 0
    exchange(one, other)
    clock.at = BEGIN + 121
    assert one.accepts(9, requests_per_minute=10) == 6


def test_who_is_a_moment_ahead_loses_nothing_of_what_it_counted(two, clock):
    """Each verifier estimates the database's clock: one may be in the next step already."""
    one, other = two
    clock.at = BEGIN + 0.01
    assert one.accepts(4, requests_per_minute=10) == 4
    clock.at = BEGIN + 5.01
    assert one.accepts(6, requests_per_minute=10) == 6
    clock.at = BEGIN + 4.9
    exchange(one, other)
    assert other.limiter.others[KEY.bytes].window == (int(BEGIN // STEP) + 1, [6, 4, *[0] * (STEPS - 2)])
    clock.at = BEGIN + 64.9
    assert other.accepts(1, requests_per_minute=10) == 0
    clock.at = BEGIN + 65
    assert other.accepts(9, requests_per_minute=10) == 4


def test_what_is_told_of_an_idle_key_is_its_day_alone(clock):
    name, idle = uuid4(), Counts(day=7, today=3)
    idle.turn(int((BEGIN - 2 * MINUTE) // STEP), 7)
    idle.window[1][0] = 3
    raw = write_report(name, [(KEY, idle)], at=BEGIN, keyring=keyring())
    report = read_report(raw, verifier=name, keyring=keyring())
    assert report is not None
    [(key, counts)] = map(count_reports.read_record, report.records)
    assert (key, counts.window[1], counts.day, counts.today) == (KEY.bytes, [0] * STEPS, 7, 3)
    assert len(raw) < len(write_report(name, [(KEY, idle)], at=BEGIN - 2 * MINUTE, keyring=keyring()))


def test_a_verifier_alone_needs_no_valkey(clock):
    alone = Verifier(clock)
    alone.loses_valkey()
    together(alone)
    alone.shared.exchange()
    clock.at += 10
    alone.shared.exchange()
    assert alone.accepts(12, requests_per_minute=10) == 10


@pytest.mark.parametrize("limit", ["requests_per_minute", "requests_per_day"])
def test_without_valkey_each_accepts_its_share(two, clock, limit):
    one, other = two
    for each in two:
        each.loses_valkey()
    clock.at += DOUBT + PERIOD
    exchange(one, other)
    assert [one.accepts(50, **{limit: 21}), other.accepts(50, **{limit: 21})] == [11, 11]
    for each in two:
        each.finds_valkey()
    exchange(one, other)
    assert one.limiter.sharers == other.limiter.sharers == 1
    assert one.accepts(1, **{limit: 21}) == 0, "and then they know what the others accepted meanwhile"


def test_without_valkey_what_is_left_of_the_day_is_shared_and_not_the_whole_again(two, clock):
    one, other = two
    assert one.accepts(60, requests_per_day=100) == 60
    exchange(one, other)
    for each in two:
        each.loses_valkey()
    clock.at += DOUBT + PERIOD
    exchange(one, other)
    assert one.accepts(100, requests_per_day=100) == other.accepts(100, requests_per_day=100) == 20


def test_a_flush_takes_back_nothing_that_was_heard(two, clock, valkey):
    one, other = two
    assert one.accepts(10, requests_per_day=10) == 10
    exchange(one, other)
    valkey.flushdb()
    assert other.accepts(5, requests_per_day=10) == 0
    other.shared.exchange()
    assert other.accepts(5, requests_per_day=10) == 0
    newcomer = Verifier(clock)
    together(one, other, newcomer)
    exchange(one, other, newcomer)
    assert newcomer.accepts(5, requests_per_day=10) == 0, "who lives told it anew"


def test_a_report_that_is_thrown_away_over_and_over_leaves_everybody_with_a_share(two, clock, valkey):
    one, other = two
    accepted = 0
    for _ in range(40):
        clock.at += PERIOD
        for each in two:
            valkey.flushdb()
            each.shared.exchange()
            accepted += each.accepts(4, requests_per_day=100)
    # Before it was noticed, what came in that time; then no more than there is, and one more each for the rounding.
    unnoticed = 4 * (DOUBT / PERIOD + 1)
    assert accepted <= 100 + unnoticed + 2
    assert one.limiter.sharers == other.limiter.sharers == 2


def test_who_is_not_heard_shares_too_though_it_hears_everybody(two, clock, valkey):
    one, other = two
    accepted = 0
    for _ in range(40):
        clock.at += PERIOD
        one.shared.exchange()
        valkey.delete(one.place)
        other.shared.exchange()
        accepted += one.accepts(3, requests_per_day=300) + other.accepts(3, requests_per_day=300)
    assert one.limiter.sharers == other.limiter.sharers == 2
    for each in two:
        accepted += each.accepts(500, requests_per_day=300)
    assert accepted <= 300 + 3 * (DOUBT / PERIOD + 1) + 2
    exchange(one, other)
    assert one.limiter.sharers == other.limiter.sharers == 1


def test_nobody_but_the_verifier_itself_lowers_its_counts(two, clock, valkey):
    one, other = two
    assert one.accepts(3, requests_per_day=10) == 3
    exchange(one, other)
    old = valkey.get(one.place)
    assert one.accepts(10, requests_per_day=10) == 7
    exchange(one, other)
    zero = counts_of(clock.at, now=0, today=0)
    foreign = Keyring.generate(at=datetime.now(UTC))
    for each, forged in enumerate(
        (
            old,
            b"",
            b"0",
            valkey.get(other.place),
            write_report(one.name, [(KEY, zero)], at=clock.at + 1, keyring=foreign),
            valkey.get(one.place)[:-1] + b"\x00",
        )
    ):
        valkey.set(one.place, forged)
        other.shared.exchange()
        assert other.accepts(1, requests_per_day=10) == 0, each
    valkey.set(one.place, old)
    clock.at += DOUBT + PERIOD
    other.shared.exchange()
    assert other.limiter.sharers == 2, "whoever is not heard is not taken to be idle"


def test_nobody_else_uses_up_a_limit(two, clock, valkey):
    """Whoever can write to Valkey makes nobody's key refused for the rest of the day."""
    one, other = two
    most = counts_of(clock.at, now=2**31, today=2**31)
    foreign = Keyring.generate(at=datetime.now(UTC))
    valkey.set(one.place, write_report(one.name, [(KEY, most)], at=clock.at + 1, keyring=foreign))
    other.shared.exchange()
    assert other.accepts(10, requests_per_day=10) == 10


def test_a_restart_forgets_nothing(two, clock):
    one, other = two
    assert one.accepts(7, requests_per_day=10) == 7
    one.shared.exchange()
    again = Verifier(clock)
    together(again, gone=(one, other))
    again.shared.exchange()
    assert again.accepts(10, requests_per_day=10) == 3
    clock.at += DOUBT + PERIOD
    again.shared.exchange()
    assert again.limiter.sharers == 1, "who ended is not missed"


def test_a_lease_that_follows_another_counts_nothing_twice(clock):
    alone = Verifier(clock)
    assert alone.accepts(4, requests_per_day=10) == 4
    alone.shared.exchange()
    before = alone.name
    alone.feed._begin_anew()
    alone.shared.roster = Roster(living=frozenset({alone.name}), gone=frozenset({before}))
    alone.shared.exchange()
    assert alone.accepts(10, requests_per_day=10) == 6


def test_a_lease_that_follows_another_is_not_told_twice(two, clock):
    one, other = two
    assert one.accepts(3, requests_per_day=10) == 3
    exchange(one, other)
    for count in (1, 2):
        former = one.name
        assert one.accepts(1, requests_per_day=10) == 1, "and nobody was told of it yet"
        one.feed._begin_anew()
        together(one, other)
        for each in two:
            each.shared.roster = Roster(living=each.shared.roster.living, gone=each.shared.roster.gone | {former})
        exchange(one, other)
        assert other.limiter.others[KEY.bytes].today == 3 + count
        assert one.limiter.others[KEY.bytes].today == 3 + count
    assert other.accepts(10, requests_per_day=10) == 5
    exchange(one, other)
    assert one.accepts(10, requests_per_day=10) == 0


def test_a_day_that_is_over_is_forgotten(two, clock):
    one, other = two
    assert one.accepts(10, requests_per_day=10) == 10
    exchange(one, other)
    clock.at += DAY
    exchange(one, other)
    assert other.accepts(10, requests_per_day=10) == 10
    clock.at += DAY
    exchange(one, other)
    assert not one.limiter.others


def test_a_clock_of_the_database_that_is_put_back_silences_nobody(two, clock):
    one, other = two
    clock.at -= 3 * MINUTE
    exchange(one, other)
    assert one.accepts(6, requests_per_day=10) == 6
    clock.at += PERIOD
    exchange(one, other)
    assert (other.limiter.sharers, other.accepts(10, requests_per_day=10)) == (1, 4)


def test_of_too_many_keys_those_that_were_used_last_are_told(monkeypatch):
    monkeypatch.setattr(count_reports, "MOST_TOLD", 3)
    name = uuid4()
    counted = [(uuid4(), counts_of(STEP * step, now=1, today=1)) for step in (5, 1, 4, 2, 3)]
    report = read_report(write_report(name, counted, at=BEGIN, keyring=keyring()), verifier=name, keyring=keyring())
    assert report is not None
    assert {count_reports.read_record(each)[1].window[0] for each in report.records} == {3, 4, 5}


def test_the_roster_holds_processes_of_ours_that_live_or_ended_today(committed_db, superuser):
    living, ended, expired = following(), following(), following()
    lease.end(ended.holder.id)
    superuser.execute("UPDATE keys_verifier SET valid_until = clock_timestamp() WHERE id = %s", [expired.holder.id])
    roster = read_roster()
    assert living.holder.id in roster.living
    assert roster.living.isdisjoint({ended.holder.id, expired.holder.id})
    assert {ended.holder.id, expired.holder.id} <= roster.gone
    superuser.execute(
        "UPDATE keys_verifier SET valid_until = clock_timestamp() - interval '25 hours' WHERE id = %s",
        [expired.holder.id],
    )
    assert expired.holder.id not in read_roster().gone
