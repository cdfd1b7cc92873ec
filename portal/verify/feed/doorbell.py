"""Hold a line to each program that verifies in its own process, tell what changed of what it may hold, and renew its lease.

A raw ASGI application: a line costs its socket and no thread, so one process holds thousands. What it sends (Server-Sent Events)
is a ring with the signed change; whoever cannot use it renews its lease, which brings what changed. Who called with POST says on the
same line what it has applied. A program that hears nothing asks each second all the same, and the site renews leases too: no
freshness rests on this, and nothing is lost with it but time.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.db import connections
from django.db.utils import Error as DatabaseError

from keys.errors import Unavailable
from keys.verification.credentials import Credential
from keys.verification.lookup import VERIFIER
from keys.verification.memory.lease import clock
from keys.verification.programs.renewing import acknowledge_clients, renew_clients
from keys.verification.programs.ringing import Ring, Ringer
from portal.verify.door import program_of
from portal.verify.feed.exchanges import Receive, Scope, Send, address_of, headers_of, need, raw_headers, read_body, say
from portal.verify.feed.lines import BEAT, Line, Lines, shown_by
from portal.verify.feed.words import read_word, words_of
from portal.verify.problems import NEVER_STORED, Reply, problem
from portal.verify.reading import Refused, members_of
from portal.verify.renewals import Answer, Knock, Renewals

BEAT_EVERY: Final = 1.0  # seconds between two beats
FRESH: Final = 3.0  # seconds after the last look at the database in which beats are sent: each stands for a look
LONGEST: Final = 300.0  # seconds; then the line ends, and its program shows its credential anew
MOST: Final = 2000  # lines
MOST_OF_ONE: Final = 1000  # lines of one credential
ASKING: Final = 4  # threads that ask the database who somebody is
_HEADERS: Final = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no", **NEVER_STORED}
_PLAIN: Final = {"Content-Type": "text/plain; charset=utf-8"}
_OF_A_VERIFIER: Final = re.compile(
    r"/v1/verifiers/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/(lease|applied)", re.ASCII
)


class Doorbell:
    """The application, and the lines it holds."""

    def __init__(self) -> None:
        self.lines = Lines()
        self._asking = 0
        self._ringer = Ringer(lambda ring: self._run(partial(self._ring, ring)))
        # Apart: somebody waits for a receipt, and a lease costs ten times as much as a word.
        self._leases = Renewals(renew_clients, runs=self._run)
        self._words = Renewals(acknowledge_clients, fills=0, runs=self._run)
        self._threads = ThreadPoolExecutor(ASKING, thread_name_prefix="doorbell")
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection, or follow the life of the server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            try:
                await self._answer(scope, receive, send)
            except Refused as refused:
                shown = b"authorization" in dict(scope["headers"])
                await say(problem(refused, request_id=uuid.uuid4().hex, knows_how=shown, allow=_allowed(scope)), send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._loop = asyncio.get_running_loop()
        self._ringer.start()
        self._leases.start()
        self._words.start()
        beating = asyncio.create_task(self._beat())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        beating.cancel()
        for line in self.lines.all:
            line.end()
        for each in (self._ringer, self._leases, self._words):
            await self._loop.run_in_executor(None, each.stop)
        self._threads.shutdown(wait=False, cancel_futures=True)
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/healthz":
            await say(Reply(status=200, body=b"alive\n", headers=_PLAIN), send)
        elif scope["path"] == "/readyz":
            fresh = self._is_fresh
            await say(
                Reply(status=200 if fresh else 503, body=b"fresh\n" if fresh else b"stale\n", headers=_PLAIN), send
            )
        elif named := _OF_A_VERIFIER.fullmatch(scope["path"]):
            need(scope, "POST")
            await say(
                await self._serve(
                    scope, receive, UUID(named[1]), self._words if named[2] == "applied" else self._leases
                ),
                send,
            )
        elif scope["path"] == "/v1/feed":
            need(scope, "GET", "POST")
            await self._hold(await self._recognise(scope), receive, send)
        else:
            raise Refused(404, "not_found")

    async def _serve(self, scope: Scope, receive: Receive, verifier: UUID, rounds: Renewals) -> Reply:
        """Wait for the next round; who asks is found out there, once for all who show the same."""
        headers = headers_of(scope)
        authorization, address = headers.get("authorization", ""), address_of(scope, headers)
        body = members_of(await read_body(receive), headers.get("content-type", ""), {"applied"})
        listener = self.lines.listener(shown_by(authorization, address))
        answer = await self._next_round(
            rounds,
            authorization=authorization,
            address=address,
            user_agent=headers.get("user-agent", ""),
            verifier=verifier,
            body=body,
            caller=listener if rounds is self._words else None,
            listens=listener is not None,
        )
        if isinstance(answer, Refused):
            raise answer
        return answer

    async def _next_round(self, rounds: Renewals, **asked: Any) -> Answer:  # Any: the facts of a Knock
        said: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def settle(answer: Answer) -> None:
            if not said.done():
                said.set_result(answer)

        rounds.ask(Knock(answer=settle, **asked))
        return await said

    async def _recognise(self, scope: Scope) -> Line:
        """Ask the database who calls, in a thread: nobody's line shall wait for it."""
        if len(self.lines.all) + self._asking >= MOST:
            raise Refused(503, "too_many_listeners", retry_after=30)
        headers = headers_of(scope)
        authorization, user_agent = headers.get("authorization", ""), headers.get("user-agent", "")
        address = address_of(scope, headers)
        loop = asyncio.get_running_loop()
        self._asking += 1
        try:
            caller, rung = None, -1
            while caller is None or self.lines.rang_since(rung, caller.key_id):
                rung = self.lines.rings
                caller = await loop.run_in_executor(self._threads, _program, authorization, address, user_agent)
        finally:
            self._asking -= 1
        if self.lines.count_of(caller.key_id) >= MOST_OF_ONE:
            raise Refused(429, "too_many_verifiers", retry_after=30)
        return Line(caller, shown_by(authorization, address))

    async def _hold(self, line: Line, receive: Receive, send: Send) -> None:
        """Tell one program of changes until it hangs up, or was heard of for long enough."""
        self.lines.add(line)
        hearing = asyncio.create_task(self._hear(line, receive))
        longest = min(LONGEST * random.uniform(0.8, 1), line.caller.lasts)  # noqa: S311 - spreads the returns
        ending = asyncio.get_running_loop().call_later(longest, line.end)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": raw_headers(_HEADERS)})
            line.tell(self.lines.last or BEAT)  # what rang before it listened, it would hear of a second later
            while not line.is_over:
                await send({"type": "http.response.body", "body": await line.next(), "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            ending.cancel()
            hearing.cancel()
            self.lines.remove(line)

    async def _hear(self, line: Line, receive: Receive) -> None:
        """Take one word after the other, until its program hangs up: the next is not read before the last was taken."""
        try:
            async for word in words_of(receive):
                if not await self._take(line, word):
                    break
        finally:
            line.end()

    async def _take(self, line: Line, word: bytes) -> bool:
        """Take up to where a program says that it has applied; False: that was no such word, or nobody asked for one."""
        if not line.owes:
            return False
        line.owes -= 1
        try:
            verifier, body = read_word(word)
        except Refused:
            return False
        answer: Answer | None = None
        if not (line.is_over or line.is_only_rung):
            answer = await self._next_round(
                self._words, verifier=verifier, body=body, caller=line.caller.key_id, listens=True
            )
        if answer is None or isinstance(answer, Refused):
            line.tell(self.lines.last)  # only a renewal can tell where it stands
        return True

    @property
    def _is_fresh(self) -> bool:
        return clock() - self._ringer.looked_at < FRESH

    def _run(self, act: Callable[[], None]) -> None:
        """Let the loop do something; called by the threads of the ringer and of the rounds."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                self._loop.call_soon_threadsafe(act)

    def _ring(self, ring: Ring) -> None:
        self._leases.hurry()
        self.lines.ring(ring)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_EVERY)
            if self._is_fresh:
                for line in self.lines.all:
                    line.beat()


def _program(authorization: str, address: str | None, user_agent: str) -> Credential:
    """Ask the database; a line is begun every few minutes, so no connection is kept for it."""
    try:
        return program_of(authorization, address=address, user_agent=user_agent)
    except Unavailable as refused:
        raise Refused(refused.status, refused.code) from None
    except DatabaseError:
        raise Refused(503, "unavailable") from None
    finally:
        connections[VERIFIER].close()


def _allowed(scope: Scope) -> str:
    return "POST" if _OF_A_VERIFIER.fullmatch(scope["path"]) else "GET, POST"
