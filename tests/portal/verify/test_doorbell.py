"""The doorbell rings for those who hold what changed, for nobody else, and never says that anything is fresh."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from django.db import connections

from keys.lifecycle.revocation import revoke_key
from keys.models import KeyVersion
from keys.states import RevocationReason
from keys.verification.ringing import Ringer
from portal.verify import doorbell
from portal.verify.doorbell import Doorbell
from tests.keys.verification.following import behind_the_back
from tests.people import acting, issued, verifying_credential

pytestmark = [pytest.mark.usefixtures("sealing"), pytest.mark.timeout(60)]
PATIENCE = 10.0


class Call:
    """One request, whose messages a test takes as they come."""

    def __init__(
        self, bell: Doorbell, *credentials: str, method: str = "GET", path: str = "/v1/feed", query: bytes = b""
    ):
        headers = [(b"authorization", f"Bearer {each}".encode()) for each in credentials]
        client = ("127.0.0.1", 50000)
        scope = {
            "type": "http", "method": method, "path": path, "query_string": query, "headers": headers, "client": client
        }  # fmt: skip
        self.answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
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

    async def hang_up(self) -> None:
        await self._asked.put({"type": "http.disconnect"})
        await asyncio.wait_for(self.task, PATIENCE)


@asynccontextmanager
async def serving() -> AsyncIterator[Doorbell]:
    """The application, alive as under a server."""
    bell, said, asked = Doorbell(), asyncio.Queue(), asyncio.Queue()
    life = asyncio.create_task(bell({"type": "lifespan"}, asked.get, said.put))
    await asked.put({"type": "lifespan.startup"})
    await asyncio.wait_for(said.get(), PATIENCE)
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not bell._last:
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


def revoke(world, key):
    revoke_key(key, actor=acting(world.responder, "revoke"), reason=RevocationReason.KEY_COMPROMISE)


def test_only_a_credential_that_verifies_may_listen(world):
    may, may_not = verifying_credential(world).reveal(), issued(world)[2].reveal()

    async def ask(bell):
        call = Call(bell, may)
        start = await call.next()
        assert (start["status"], dict(start["headers"])[b"content-type"]) == (200, b"text/event-stream")
        assert (await call.line()).startswith(b"event: change\n"), "whatever came before it listened"
        for credentials in ([may_not], ["ks_prod_x"], []):
            assert await Call(bell, *credentials).problem() == (401, "invalid_token")
        assert await Call(bell, may, may).problem() == (400, "header_repeated")
        assert await Call(bell, may, query=b"key=1").problem() == (400, "address_not_allowed_here")
        assert await Call(bell, may, method="POST").problem() == (405, "method_not_allowed")
        assert await Call(bell, may, path="/v1/verify").problem() == (404, "not_found")
        assert [await Call(bell, path=path).status() for path in ("/healthz", "/readyz")] == [200, 200]
        await call.hang_up()
        assert not bell.lines

    listening(ask)


def test_a_change_rings_where_it_may_be_held_and_nowhere_else(world):
    here, elsewhere = (verifying_credential(world, environment=each).reveal() for each in ("prod", "test"))
    key = issued(world)[0]

    async def ask(bell):
        mine, other = await Call(bell, here).begun(), await Call(bell, elsewhere).begun()
        await asyncio.to_thread(revoke_in_thread, world, key)
        ring = await mine.line()
        assert ring.startswith(b"event: change\ndata: {")
        assert ring.endswith(b"\n\n")
        assert json.loads(ring.split(b"data: ")[1])["position"].count(":") == 2
        assert not [each for each in pending(other) if b"change" in each]

    listening(ask)


def revoke_in_thread(world, key):
    try:
        revoke(world, key)
    finally:
        connections.close_all()


def pending(call: Call) -> list[bytes]:
    return [call.answers.get_nowait()["body"] for _ in range(call.answers.qsize())]


def test_a_credential_that_changed_has_to_be_shown_again(world):
    credential = verifying_credential(world)
    own = KeyVersion.objects.get(kid=credential.reveal().split("_")[2]).managed_key

    async def ask(bell):
        call = await Call(bell, credential.reveal()).begun()
        await asyncio.to_thread(revoke_in_thread, world, own)
        await asyncio.wait_for(call.task, PATIENCE)
        assert await Call(bell, credential.reveal()).problem() == (401, "invalid_token")

    listening(ask)


def test_a_change_of_the_catalogue_rings_everywhere(world, superuser):
    credentials = [verifying_credential(world, environment=each).reveal() for each in ("prod", "test")]

    async def ask(bell):
        calls = [await Call(bell, each).begun() for each in credentials]
        await asyncio.to_thread(behind_the_back, superuser, "UPDATE keys_environment SET name = name")
        for call in calls:
            assert (await call.line()).startswith(b"event: change\n")

    listening(ask)


def test_a_beat_stands_for_a_look_at_the_database(world, monkeypatch):
    credential = verifying_credential(world).reveal()
    monkeypatch.setattr(doorbell, "BEAT", 0.02)
    monkeypatch.setattr(doorbell, "FRESH", 0.6)

    async def ask(bell):
        call = await Call(bell, credential).begun()
        assert await call.line(beats=True) == b": beat\n\n"
        monkeypatch.setattr(Ringer, "look", lambda _: None)  # it hangs, or the database is away
        await asyncio.sleep(doorbell.FRESH)
        pending(call)
        await asyncio.sleep(5 * doorbell.BEAT)
        assert not pending(call)
        assert await Call(bell, path="/readyz").status() == 503

    listening(ask)


def test_lines_are_bounded_and_end_by_themselves(world, monkeypatch):
    credential = verifying_credential(world).reveal()
    monkeypatch.setattr(doorbell, "MOST_OF_ONE", 1)

    async def ask(bell):
        first = await Call(bell, credential).begun()
        assert await Call(bell, credential).problem() == (429, "too_many_verifiers")
        monkeypatch.setattr(doorbell, "MOST", 1)
        assert await Call(bell, credential).problem() == (503, "too_many_listeners")
        await first.hang_up()
        monkeypatch.setattr(doorbell, "LONGEST", 0.05)
        last = await Call(bell, credential).begun()
        await asyncio.wait_for(last.task, PATIENCE)

    listening(ask)


def test_a_slow_reader_is_told_of_the_latest_change_once(world):
    credential = verifying_credential(world).reveal()

    async def ask(bell):
        await Call(bell, credential).begun()
        (line,) = bell.lines
        for number in range(1000):
            line.tell(b"%d" % number)
            line.beat()
        assert await line.next() == b"999"

    listening(ask)
