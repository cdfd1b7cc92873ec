"""Call the feed as programs do, message by message, in the process of the test."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from django.db import connections
from keystead_client.events import Event, read_event

from keys.lifecycle.revocation import revoke_key
from keys.models import Environment, ManagedKey
from keys.states import RevocationReason
from keys.verification.programs.sharing import signing_keys
from keys.verification.programs.telling import Place
from portal.verify.feed.doorbell import Doorbell
from tests.people import World, acting

PATIENCE = 60.0  # seconds


class Call:
    """One request, whose messages a test takes as they come."""

    def __init__(
        self,
        bell: Doorbell,
        *credentials: str,
        method: str = "GET",
        path: str = "/v1/feed",
        query: bytes = b"",
        body: object = None,
    ) -> None:
        headers = [(b"authorization", f"Bearer {each}".encode()) for each in credentials]
        if body is not None:
            method = "POST"
            headers.append((b"content-type", b"application/json"))
        client = ("127.0.0.1", 50000)
        scope = {
            "type": "http", "method": method, "path": path, "query_string": query, "headers": headers, "client": client
        }  # fmt: skip
        self.answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        if body is not None:
            self._asked.put_nowait({"type": "http.request", "body": json.dumps(body).encode(), "more_body": False})
        self.task = asyncio.create_task(bell(scope, self._asked.get, self.answers.put))

    async def next(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.answers.get(), PATIENCE)

    async def status(self) -> int:
        return (await self.next())["status"]

    async def problem(self) -> tuple[int, str]:
        return await self.status(), json.loads((await self.next())["body"])["code"]

    async def line(self, *, beats: bool = False) -> bytes:
        """What is sent next, beats apart."""
        while True:
            said = (await self.next())["body"]
            if beats or not said.startswith(b":"):
                return said

    async def begun(self) -> Call:
        """Listening, with the first ring heard."""
        assert await self.status() == 200
        await self.line(beats=True)
        return self

    async def say(self, words: bytes) -> None:
        """Send more of a body that goes on."""
        await self._asked.put({"type": "http.request", "body": words, "more_body": True})

    @property
    def unread(self) -> int:
        """How much of what was said nobody has read yet."""
        return self._asked.qsize()

    async def hang_up(self) -> None:
        await self._asked.put({"type": "http.disconnect"})
        await asyncio.wait_for(self.task, PATIENCE)


def pending(call: Call) -> list[bytes]:
    """What was sent and not taken yet."""
    return [call.answers.get_nowait()["body"] for _ in range(call.answers.qsize())]


def place_of(world: World, tag: str = "prod") -> Place:
    """The service of the tests' world in an environment."""
    return world.orders.pk, Environment.objects.get(tag=tag).pk


def event_in(ring: bytes, at: Place) -> Event:
    """What a program reads, under the keys that Keystead shows everybody."""
    keys = {each["kid"]: each["x"] for each in signing_keys()}
    event = read_event(ring.split(b"data: ")[1].decode(), keys=keys, place=(str(at[0]), str(at[1])))
    assert event is not None
    return event


@asynccontextmanager
async def serving() -> AsyncIterator[Doorbell]:
    """The application, alive as under a server."""
    bell, said, asked = Doorbell(), asyncio.Queue(), asyncio.Queue()
    life = asyncio.create_task(bell({"type": "lifespan"}, asked.get, said.put))
    await asked.put({"type": "lifespan.startup"})
    await asyncio.wait_for(said.get(), PATIENCE)
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not bell.lines.last:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)
    try:
        yield bell
    finally:
        await asked.put({"type": "lifespan.shutdown"})
        await asyncio.wait_for(life, PATIENCE)


def listening(test: Callable[[Doorbell], Awaitable[None]]) -> None:
    async def run() -> None:
        async with serving() as bell:
            await test(bell)

    asyncio.run(run())


def revoke(world: World, key: ManagedKey) -> None:
    """Stop a key, as a responder does."""
    revoke_key(key, actor=acting(world.responder, "revoke"), reason=RevocationReason.KEY_COMPROMISE)


async def beside(act: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """Do something with the database while the feed goes on."""

    def run() -> Any:
        try:
            return act(*given, **named)
        finally:
            connections.close_all()

    return await asyncio.to_thread(run)
