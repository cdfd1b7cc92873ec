"""The doorbell rings for those who hold what changed, for nobody else, and never says that anything is fresh."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from keys.models import KeyVersion
from keys.verification.programs.ringing import Ringer
from portal.verify.feed import doorbell, lines
from tests.keys.verification.following import behind_the_back
from tests.people import issued, verifying_credential
from tests.portal.verify.bells import PATIENCE, Call, beside, listening, pending, revoke

pytestmark = [pytest.mark.usefixtures("sealing"), pytest.mark.timeout(60)]


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
        assert await Call(bell, may, method="PUT").problem() == (405, "method_not_allowed")
        assert await Call(bell, may, path="/v1/verify").problem() == (404, "not_found")
        assert [await Call(bell, path=path).status() for path in ("/healthz", "/readyz")] == [200, 200]
        await call.hang_up()
        assert not bell.lines.all

    listening(ask)


def test_a_change_rings_where_it_may_be_held_and_nowhere_else(world):
    here, elsewhere = (verifying_credential(world, environment=each).reveal() for each in ("prod", "test"))
    key = issued(world)[0]

    async def ask(bell):
        mine, other = await Call(bell, here).begun(), await Call(bell, elsewhere).begun()
        await beside(revoke, world, key)
        ring = await mine.line()
        assert ring.startswith(b"event: change\ndata: {")
        assert ring.endswith(b"\n\n")
        assert json.loads(ring.split(b"data: ")[1])["position"].count(":") == 2
        assert not [each for each in pending(other) if b"change" in each]

    listening(ask)


def test_a_credential_that_changed_has_to_be_shown_again(world):
    credential = verifying_credential(world)
    own = KeyVersion.objects.get(kid=credential.reveal().split("_")[2]).managed_key

    async def ask(bell):
        call = await Call(bell, credential.reveal()).begun()
        await beside(revoke, world, own)
        await asyncio.wait_for(call.task, PATIENCE)
        assert await Call(bell, credential.reveal()).problem() == (401, "invalid_token")

    listening(ask)


def test_a_change_of_the_catalogue_rings_everywhere(world, superuser):
    credentials = [verifying_credential(world, environment=each).reveal() for each in ("prod", "test")]

    async def ask(bell):
        calls = [await Call(bell, each).begun() for each in credentials]
        await beside(behind_the_back, superuser, "UPDATE keys_environment SET name = name")
        for call in calls:
            assert (await call.line()).startswith(b"event: change\n")

    listening(ask)


def test_a_beat_stands_for_a_look_at_the_database(world, monkeypatch):
    credential = verifying_credential(world).reveal()
    monkeypatch.setattr(doorbell, "BEAT_EVERY", 0.02)
    monkeypatch.setattr(doorbell, "FRESH", 0.6)

    async def ask(bell):
        call = await Call(bell, credential).begun()
        assert await call.line(beats=True) == b": beat\n\n"
        monkeypatch.setattr(Ringer, "look", lambda _: None)  # it hangs, or the database is away
        await asyncio.sleep(doorbell.FRESH)
        pending(call)
        await asyncio.sleep(5 * doorbell.BEAT_EVERY)
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


def test_a_line_ends_when_its_credential_does(world, monkeypatch):
    credential, found = verifying_credential(world).reveal(), []
    recognise = doorbell._program

    def ending_soon(*shown):
        found.append(recognise(*shown))
        return replace(found[-1], lasts=3.0)  # by then it was looked at

    monkeypatch.setattr(doorbell, "_program", ending_soon)

    async def ask(bell):
        call = await Call(bell, credential).begun()
        shown = next(iter(bell.lines.all)).shown
        assert bell.lines.listener(shown)
        await asyncio.wait_for(call.task, PATIENCE)
        assert bell.lines.listener(shown) is None, "nor is anything taken that it says"

    listening(ask)
    ends = KeyVersion.objects.get(kid=credential.split("_")[2]).expires_at
    assert found[0].lasts == pytest.approx((ends - datetime.now(UTC)).total_seconds(), abs=60)


def test_a_slow_reader_is_told_of_the_latest_change(world, monkeypatch):
    """Whatever it missed in between it notices by what came since."""
    monkeypatch.setattr(lines, "MOST_WAITING", 10)
    credential = verifying_credential(world).reveal()

    async def ask(bell):
        await Call(bell, credential).begun()
        (line,) = bell.lines.all
        for number in range(1000):
            line.tell(b"[%03d]" % number)
            line.beat()
        assert await line.next() in (b"[999]", b"[998][999]")

    listening(ask)
