"""Spend the nonces of many signed requests in one exchange, in a thread beside the one that answers.

To ask Valkey about one nonce costs more than all the rest of a signed request, and whoever waits for it answers nobody. So
the thread that answers judges all but the nonce, leaves the request here and goes on. This thread takes whatever lies here,
asks about all of it at once, and answers each. It counts in a file of its own: a tally has one writer.
"""

from __future__ import annotations

import threading
import uuid
from collections import Counter, deque
from collections.abc import Callable
from queue import SimpleQueue
from time import sleep
from typing import Final, NamedTuple

import structlog
from django.db import close_old_connections

from keys.nonces.members import NonceStoreUnavailable, Signed
from keys.nonces.spending import Nonces
from keys.signatures.reading import SignedRequest
from keys.states import VALID
from keys.verification.counting.tallies import Tallies
from keys.verification.memory.snapshot import Entry
from keys.verification.signed import SignedVerdict, Unspent
from keys.verification.verifier import Question
from portal.verify.memory import Asker, AskTheDatabase, Memory
from portal.verify.problems import Reply, problem
from portal.verify.reading import Refused
from portal.verify.signed import told

MOST: Final = 256  # in one exchange: a few milliseconds of Valkey's time
# Where many come at once, this thread steps aside after each exchange: waking for every one would take the interpreter
# from the thread that answers, again and again, and gather few.
MANY: Final = 8
PAUSE: Final = 0.001  # seconds
Respond = Callable[[int, list[tuple[str, str]], bytes], object]
_log = structlog.get_logger("keystead.verification")


class _Waiting(NamedTuple):
    """A signed request of which everything is known but whether it is the first time."""

    judged: Unspent
    request: SignedRequest
    question: Question
    asker: Asker
    respond: Respond


class Gathering:
    """The requests that wait for their nonce to be spent, and the thread that answers them."""

    def __init__(self, memory: Memory, nonces: Nonces, tallies: Tallies) -> None:
        self.answers: Counter[int] = Counter()  # by status
        self._memory = memory
        self._nonces = nonces
        self._tallies = tallies
        self._waiting: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._follow, daemon=True, name="gathering")

    def start(self) -> Gathering:
        """Begin to take requests from the thread that answers."""
        self._thread.start()
        self._memory.gathering = self
        return self

    def stop(self) -> None:
        """Answer whoever waits, and take nobody more."""
        self._memory.gathering = None
        self._waiting.put(None)
        self._thread.join(5)

    def judge(
        self, request: SignedRequest, question: Question, asker: Asker, respond: Respond
    ) -> tuple[SignedVerdict, Entry | None] | None:
        """Judge a signed request; None: whether it is the first time is asked for later, and `respond` is told."""
        judged = self._memory.judge_unspent(request, question, asker)
        if isinstance(judged, Unspent):
            self._waiting.put(_Waiting(judged, request, question, asker, respond))
            return None
        return self._memory.counted(judged, question, asker)

    def _follow(self) -> None:
        while batch := self._gathered():
            count = len(batch)
            try:
                self._answer(batch)
            except Exception as error:  # noqa: BLE001 - without this thread nothing signed would be answered ever again
                _log.error("signed requests not answered", exc_info=error)
            for each in batch:  # whoever is left was not answered
                self._say(each, problem(Refused(503, "unavailable"), request_id=uuid.uuid4().hex))
            if count >= MANY:
                sleep(PAUSE)

    def _gathered(self) -> deque[_Waiting]:
        """Whoever waits, at least one; nobody when it is over."""
        batch: deque[_Waiting] = deque()
        each = self._waiting.get()
        while each is not None:
            batch.append(each)
            if len(batch) == MOST or self._waiting.empty():
                return batch
            each = self._waiting.get()
        self._waiting.put(None)  # to be found again when these are answered
        return batch

    def _answer(self, batch: deque[_Waiting]) -> None:
        """Ask about all, and answer one after the other."""
        outcomes = self._nonces.spend_all([_signed(each) for each in batch])
        for outcome in outcomes:
            each = batch[0]
            try:
                reply = self._reply(each, outcome=outcome)
            except Refused as refused:
                reply = problem(refused, request_id=uuid.uuid4().hex, knows_how=True)
            batch.popleft()
            self._say(each, reply)
        if any(isinstance(outcome, NonceStoreUnavailable) for outcome in outcomes):
            close_old_connections()  # the next try gets another one to the database, if this one broke

    def _reply(self, waiting: _Waiting, *, outcome: bool | NonceStoreUnavailable) -> Reply:
        """Answer by what holds now: what was known when it was judged may have been stopped since, and be said to be."""
        if isinstance(outcome, NonceStoreUnavailable):
            raise Refused(503, outcome.code, retry_after=outcome.retry_after)
        memory, asker, question = self._memory, waiting.asker, waiting.question
        try:
            memory.resume(asker)
        except AskTheDatabase:
            raise Refused(503, "verifier_stale") from None  # it may ask again, there
        verdict = memory.judge_spent(waiting.judged, waiting.request, question, asker, is_first=outcome)
        if verdict.signer is None:
            return told(verdict, None, asker.at)
        entry = memory.entry_of_signer(verdict.signer)
        verdict = memory.limited(verdict, entry, asker.at)
        self._tallies.file.count(entry, str(verdict.reason or VALID), asker.at, question.client.seen_as)
        return told(verdict, entry, asker.at)

    def _say(self, waiting: _Waiting, reply: Reply) -> None:
        self.answers[reply.status] += 1
        try:
            waiting.respond(reply.status, list(reply.headers.items()), reply.body)
        except Exception as error:  # noqa: BLE001 - one who cannot be told is no harm to the others
            _log.error("signed request not answered", exc_info=error)


def _signed(waiting: _Waiting) -> Signed:
    presented = waiting.judged.presented
    return Signed(presented.kid, presented.nonce, presented.created, waiting.asker.at)
