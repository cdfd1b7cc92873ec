"""Tell the other verifiers what was counted here, and hear what they counted, four times a second, over Valkey.

No answer ever waits for this. What was heard once is not forgotten before its window is over, so a Valkey that is wiped or put
back takes nothing back; while a verifier lives and is not heard, everybody accepts only their share of what is left.
"""

from __future__ import annotations

import threading
from operator import add
from typing import Final
from uuid import UUID

import redis
import structlog
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from keys.sealing import keyring
from keys.verification.counting.count_reports import Report, name_in, read_record, read_report, write_report
from keys.verification.counting.limits import DAY, STEP, STEPS, Counts, Limiter
from keys.verification.counting.roster import Roster, read_roster
from keys.verification.memory import lease
from keys.verification.memory.feed import Feed
from keys.verification.memory.snapshot import NEVER

PERIOD: Final = 0.25  # seconds between two reports
DOUBT: Final = 2.0  # seconds after which a report says too little about now
PATIENCE: Final = 0.5
KEPT_SECONDS: Final = DAY + 3_600
PLACE: Final = "keystead:limits:{}"

_log = structlog.get_logger("keystead.verification")


class SharedLimits:
    """What one verifier tells and hears."""

    def __init__(self, limiter: Limiter, feed: Feed) -> None:
        self.roster = Roster()
        self._limiter = limiter
        self._feed = feed
        self._valkey = redis.Redis.from_url(
            settings.REDIS_URL,
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
            retry=Retry(NoBackoff(), 0),
        )
        self._own: UUID | None = None  # under which name we tell: that of our lease
        self._former: set[UUID] = set()  # names of ours: a lease that was ended is followed by another
        self._told_at: dict[UUID, float] = {}
        self._missing: set[UUID] = set()  # verifiers that say that they miss somebody
        self._misses = False
        self._records: dict[UUID, dict[bytes, bytes]] = {}
        self._counts: dict[bytes, dict[UUID, Counts]] = {}
        self._complete: set[UUID] = set()  # verifiers that ended and were heard for the last time
        self._day = 0
        self._is_heard = True
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True, name="shared-limits")

    def start(self) -> SharedLimits:
        """Begin to exchange counts."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Leave behind what was counted, after the last answer."""
        self._over.set()
        self._thread.join(5)

    def look_around(self) -> None:
        """Read who else counts; for the thread that reads the database anyway."""
        self.roster = read_roster()

    def exchange(self) -> None:
        """Tell and hear once; then know whether what was heard says enough."""
        at, own = lease.clock() + self._feed.offset, self._feed.holder.id
        if self._own is not None and self._own != own:
            self._begin_anew(self._own, at)
        self._own = own
        self._forget_yesterday(at)
        living = self.roster.living - self._former - {own}
        gone = self.roster.gone - self._former - self._complete - {own}
        for verifier, raw in self._told(own, [*living, *gone], at, self._limiter.counted()).items():
            report = read_report(raw, verifier=verifier, keyring=keyring()) if raw else None
            if report is not None:
                self._hear(verifier, report, at)
        self._complete = (self._complete | gone if self._is_heard else self._complete) - living
        self._misses = any(abs(at - self._told_at.get(each, NEVER)) > DOUBT for each in living)
        # Also when somebody else does: who is not heard, and hears all, would take what the others share.
        is_doubtful = self._misses or not living.isdisjoint(self._missing)
        self._limiter.sharers = len(living) + 1 if is_doubtful else 1

    def _begin_anew(self, former: UUID, at: float) -> None:
        """Leave behind what was counted under a former name, as whoever ends does: told under both it would count twice."""
        self._former.add(former)

        passed: list[tuple[UUID, Counts]] = []

        def pass_on(counted: list[tuple[UUID, Counts]]) -> None:
            passed.extend(counted)
            for key, counts in counted:
                self._counts.setdefault(key.bytes, {})[former] = counts
                self._add_up(key.bytes, at)

        self._limiter.begin_anew(pass_on)
        self._told(former, [], at, passed)

    def _told(
        self, own: UUID, others: list[UUID], at: float, everything: list[tuple[UUID, Counts]]
    ) -> dict[UUID, bytes | None]:
        """Leave our report and take those of the others; nothing while Valkey does not answer."""
        step, day = int(at // STEP), int(at // DAY)
        counted = [each for each in everything if each[1].day >= day or each[1].is_recent(step)]
        report = write_report(own, counted, at=at, keyring=keyring(), misses=self._misses)
        if self._limiter.sharers == 1:  # else what the others know of us stays what it was
            for _, counts in counted:
                counts.told = counts.today
        try:
            with self._valkey.pipeline(transaction=False) as pipeline:
                pipeline.set(PLACE.format(own), report, ex=KEPT_SECONDS)
                for each in others:
                    pipeline.get(PLACE.format(each))
                _, *raw = pipeline.execute()
        except redis.RedisError as error:
            if self._is_heard:  # once for each time that it goes away
                _log.warning("limits are not shared", error=type(error).__name__)
            self._is_heard = False
            return {}
        self._is_heard = True
        return dict(zip(others, raw, strict=True))

    def _hear(self, verifier: UUID, report: Report, at: float) -> None:
        if report.at <= self._told_at.get(verifier, NEVER) <= at + DOUBT:
            return  # an older one; unless it is the database's clock that was put back
        self._told_at[verifier] = report.at
        (self._missing.add if report.misses else self._missing.discard)(verifier)
        known = self._records.setdefault(verifier, {})
        for record in report.records:
            if known.get(name_in(record)) == record:
                continue
            known[name_in(record)] = record
            key, counts = read_record(record)
            self._counts.setdefault(key, {})[verifier] = counts
            self._add_up(key, at)

    def _add_up(self, key: bytes, at: float) -> None:
        """Put what all others counted in the place of what they had counted: whoever answers only ever sees a whole."""
        step, day = int(at // STEP), int(at // DAY)
        everything = list(self._counts[key].values())
        for counts in everything:
            counts.turn(step, day)
        # Whose clock is a moment ahead may be a step further: turned back to ours, its oldest step would be forgotten early.
        step = max(counts.window[0] for counts in everything)
        used, today = [0] * STEPS, 0
        for counts in everything:
            counts.turn(step, day)
            used = list(map(add, used, counts.window[1]))
            today += counts.today
        total = Counts(window=(step, used), day=day, today=today)
        self._limiter.others[key] = total

    def _forget_yesterday(self, at: float) -> None:
        day = int(at // DAY)
        if day == self._day:
            return
        self._day = day
        self._records.clear()  # what still counts is read again
        for key, of_verifiers in list(self._counts.items()):
            kept = {each: counts for each, counts in of_verifiers.items() if counts.is_recent(int(at // STEP))}
            self._counts[key] = kept
            if not kept:
                del self._counts[key]
                self._limiter.others.pop(key, None)

    def _follow(self) -> None:
        while not self._over.wait(PERIOD):
            if self._feed.looked_at == NEVER:
                continue  # until the database was asked, its clock is not known
            try:
                self.exchange()
            except Exception as error:  # noqa: BLE001 - whatever it is: without this thread a limit would hold for each verifier alone
                _log.error("limits cannot be shared", exc_info=error)
                self._limiter.sharers = len(self.roster.living | {self._feed.holder.id})
        if self._feed.looked_at != NEVER:
            self.exchange()
