"""Hold a line to each program that verifies in its own process, ring when something changed that it may hold, and renew its lease.

A raw ASGI application: a line costs its socket and no thread, so one process holds thousands. What it sends is a doorbell
(Server-Sent Events): whoever hears it renews its lease, and the renewal brings what changed. A program that hears nothing asks
each second all the same, and the site renews leases too: nothing here has to be trusted, and nothing is lost with it but time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from uuid import UUID

from django.db import connections
from django.db.utils import Error as DatabaseError

from keys.errors import Unavailable
from keys.verification.credentials import Credential
from keys.verification.lease import clock
from keys.verification.lookup import VERIFIER
from keys.verification.ringing import Change, Ringer
from portal.verify.door import program_of
from portal.verify.exchanges import Receive, Scope, Send, address_of, headers_of, need, raw_headers, read_body, say
from portal.verify.problems import NEVER_STORED, Reply, problem
from portal.verify.reading import Refused, members_of
from portal.verify.renewals import Knock, Renewals

BEAT: Final = 1.0  # seconds between two beats
FRESH: Final = 3.0  # seconds after the last look at the database in which beats are sent: each stands for a look
LONGEST: Final = 300.0  # seconds; then the line ends, and its program shows its credential anew
MOST: Final = 2000  # lines
MOST_OF_ONE: Final = 1000  # lines of one credential
ASKING: Final = 4  # threads that ask the database who somebody is
_HEADERS: Final = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no", **NEVER_STORED}
_PLAIN: Final = {"Content-Type": "text/plain; charset=utf-8"}
_RENEWAL: Final = re.compile(r"/v1/verifiers/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/lease", re.ASCII)
_BEAT: Final = b": beat\n\n"


class Line:
    """One program that listens, with what it has still to be told. A slow reader is told of the latest change, once."""

    def __init__(self, caller: Credential) -> None:
        assert caller.asks_about is not None
        self.caller = caller
        self.place = caller.asks_about.service_id, caller.asks_about.environment_id
        self.is_over = False
        self._waiting = b""
        self._woken = asyncio.Event()

    def tell(self, text: bytes) -> None:
        """Send this next, in place of whatever waits."""
        self._waiting = text
        self._woken.set()

    def beat(self) -> None:
        if not self._waiting:
            self.tell(_BEAT)

    def end(self) -> None:
        self.is_over = True
        self._woken.set()

    async def next(self) -> bytes:
        """Wait for something to send."""
        await self._woken.wait()
        self._woken.clear()
        text, self._waiting = self._waiting, b""
        return text


class Doorbell:
    """The application, and the lines it holds."""

    def __init__(self) -> None:
        self.lines: set[Line] = set()
        self._last = b""
        self._of_one: Counter[UUID] = Counter()
        self._asking = 0
        self._ringer = Ringer(self._heard)
        self._renewals = Renewals()
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
        self._renewals.start()
        beating = asyncio.create_task(self._beat())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        beating.cancel()
        for line in self.lines:
            line.end()
        for each in (self._ringer, self._renewals):
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
        elif renewal := _RENEWAL.fullmatch(scope["path"]):
            need(scope, "POST")
            await say(await self._renew(scope, receive, UUID(renewal[1])), send)
        elif scope["path"] == "/v1/feed":
            need(scope, "GET")
            await self._hold(Line(await self._recognise(scope)), receive, send)
        else:
            raise Refused(404, "not_found")

    async def _renew(self, scope: Scope, receive: Receive, verifier: UUID) -> Reply:
        """Wait for the next round of renewals; who asks is found out there, once for all who show the same."""
        headers = headers_of(scope)
        body = members_of(await read_body(receive), headers.get("content-type", ""), {"applied"})
        loop = asyncio.get_running_loop()
        said: asyncio.Future[Reply | Refused] = loop.create_future()

        def settle(answer: Reply | Refused) -> None:
            if not said.done():
                said.set_result(answer)

        self._renewals.ask(
            Knock(
                authorization=headers.get("authorization", ""),
                address=address_of(scope, headers),
                user_agent=headers.get("user-agent", ""),
                verifier=verifier,
                body=body,
                answer=lambda answer: loop.call_soon_threadsafe(settle, answer),
            )
        )
        answer = await said
        if isinstance(answer, Refused):
            raise answer
        return answer

    async def _recognise(self, scope: Scope) -> Credential:
        """Ask the database who calls, in a thread: nobody's line shall wait for it."""
        if len(self.lines) + self._asking >= MOST:
            raise Refused(503, "too_many_listeners", retry_after=30)
        headers = headers_of(scope)
        address, user_agent = address_of(scope, headers), headers.get("user-agent", "")
        self._asking += 1
        try:
            caller = await asyncio.get_running_loop().run_in_executor(
                self._threads, _program, headers.get("authorization", ""), address, user_agent
            )
        finally:
            self._asking -= 1
        if self._of_one[caller.key_id] >= MOST_OF_ONE:
            raise Refused(429, "too_many_verifiers", retry_after=30)
        return caller

    async def _hold(self, line: Line, receive: Receive, send: Send) -> None:
        """Tell one program of changes until it hangs up, or was heard of for long enough."""
        self.lines.add(line)
        self._of_one[line.caller.key_id] += 1
        hanging_up = asyncio.create_task(_until_gone(line, receive))
        ending = asyncio.get_running_loop().call_later(LONGEST * random.uniform(0.8, 1), line.end)  # noqa: S311 - spreads the returns
        try:
            await send({"type": "http.response.start", "status": 200, "headers": raw_headers(_HEADERS)})
            line.tell(self._last or _BEAT)  # what rang before it listened, it would hear of a second later
            while not line.is_over:
                await send({"type": "http.response.body", "body": await line.next(), "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            ending.cancel()
            hanging_up.cancel()
            self.lines.discard(line)
            self._of_one[line.caller.key_id] -= 1

    @property
    def _is_fresh(self) -> bool:
        return clock() - self._ringer.looked_at < FRESH

    def _heard(self, change: Change) -> None:
        """Called by the ringer's thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                self._loop.call_soon_threadsafe(self._ring, change)

    def _ring(self, change: Change) -> None:
        self._renewals.hurry()
        self._last = b'event: change\ndata: {"position":%s}\n\n' % json.dumps(change.position).encode()
        for line in self.lines:
            if change.places is None or line.place in change.places:
                line.tell(self._last)
            if line.caller.key_id in change.keys:
                line.end()  # its credential may be worth nothing any more: it has to show it again

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            if self._is_fresh:
                for line in self.lines:
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
    return "POST" if _RENEWAL.fullmatch(scope["path"]) else "GET"


async def _until_gone(line: Line, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    line.end()
