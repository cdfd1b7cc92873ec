"""The feed tells what became of keys, signed, one ring after the other without a gap; programs say what they have applied."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from keystead_client import IntegrityError

from keys.verification.memory import lease
from keys.verification.programs import ringing
from keys.verification.programs.ringing import Ring, Ringer, Told
from portal.verify.feed import doorbell
from portal.verify.feed.lines import shown_by
from tests.people import issued, verifying_credential
from tests.portal.verify.bells import PATIENCE, Call, beside, event_in, listening, place_of, revoke

pytestmark = [pytest.mark.usefixtures("sealing"), pytest.mark.timeout(60)]


def following(rings: list[Ring]) -> Ringer:
    """A follower whose looks a test decides; the first is over."""
    ringer = Ringer(rings.append)
    ringer.look()
    rings.clear()
    return ringer


def test_a_ring_brings_what_a_renewal_would_bring_and_each_follows_on_the_last(world):
    credential, at = verifying_credential(world).reveal(), place_of(world)
    keys = [issued(world, name=name) for name in ("First", "Second")]

    async def ask(bell):
        call = await Call(bell, credential).begun()
        told = []
        for key, version, _ in keys:
            await beside(revoke, world, key)
            told.append(event_in(await call.line(), at))
            gone = {"key_id": str(key.pk), "versions": [], "signers": [], "gone": [version.kid]}
            assert told[-1].changes == [gone]
        assert told[1].since == told[0].position

    listening(ask)


def test_what_is_told_is_signed_and_for_its_place_alone(world):
    credential, at, other = verifying_credential(world).reveal(), place_of(world), place_of(world, "test")
    key = issued(world)[0]

    async def ask(bell):
        call = await Call(bell, credential).begun()
        await beside(revoke, world, key)
        ring = await call.line()
        told = event_in(ring, at)
        with pytest.raises(IntegrityError):
            event_in(ring, other)
        with pytest.raises(IntegrityError):
            event_in(ring.replace(told.since.encode(), told.position.encode()), at)

    listening(ask)


def test_a_credential_that_changed_is_told_nothing_any_more(world):
    credential, at = verifying_credential(world).reveal(), place_of(world)

    async def ask(bell):
        call = await Call(bell, credential).begun()
        (line,) = bell.lines.all
        told = {at: Told(since=bell.lines.last.decode(), changes=[])}
        bell._ring(Ring(position="1:1:", keys=frozenset({line.caller.key_id}), places=frozenset({at}), told=told))
        assert bell.lines.listener(shown_by(f"Bearer {credential}", "127.0.0.1")) is None, (
            "nor is it known by what it showed"
        )
        assert json.loads((await call.line()).split(b"data: ")[1]) == {"position": "1:1:"}
        await asyncio.wait_for(call.task, PATIENCE)
        assert not bell.lines._by_shown

    listening(ask)


@pytest.mark.parametrize("known", [True, False], ids=["a change", "perhaps a change"])
def test_a_credential_that_changes_while_it_is_asked_for_is_asked_for_again(world, monkeypatch, known):
    credential = verifying_credential(world).reveal()
    program, asked_for = doorbell._program, []

    async def ask(bell):
        def meanwhile(*asked):
            caller = program(*asked)
            asked_for.append(caller.key_id)
            if len(asked_for) == 1:
                ring = Ring(position="1:1:", keys=frozenset({caller.key_id}) if known else None, places=frozenset())
                bell._loop.call_soon_threadsafe(bell._ring, ring)
            return caller

        monkeypatch.setattr(doorbell, "_program", meanwhile)
        await Call(bell, credential).begun()
        assert len(asked_for) == 2

    listening(ask)


def test_after_a_gap_a_line_is_only_rung_until_it_is_begun_anew(world):
    """Whose credential changed meanwhile nobody knows."""
    credential, at, other = verifying_credential(world).reveal(), place_of(world), place_of(world, "test")

    async def ask(bell):
        call = await Call(bell, credential).begun()
        bell._ring(Ring(position="1:1:"))
        told = {at: Told(since="1:1:", changes=[])}
        bell._ring(Ring(position="2:2:", keys=frozenset(), places=frozenset({at}), told=told))
        assert b"since" not in await call.line()
        (line,) = bell.lines.all
        await asyncio.sleep(0)
        line._waiting = b""
        bell._ring(Ring(position="3:3:", keys=frozenset(), places=frozenset({other})))
        assert not line._waiting, "nor for what it may not hold"
        assert bell.lines.listener(shown_by(f"Bearer {credential}", "127.0.0.1")) is None
        anew = await Call(bell, credential).begun()
        bell._ring(Ring(position="3:3:", keys=frozenset(), places=frozenset({at}), told=told))
        assert b"since" in await anew.line()

    listening(ask)


def test_each_place_is_told_without_a_gap(world):
    rings: list[Ring] = []
    ringer = following(rings)
    began = ringer._position
    for name, tag in (("A", "prod"), ("B", "test"), ("C", "prod"), ("D", "test")):
        issued(world, name=name, environment=tag)
        ringer.look()
    for at in (place_of(world), place_of(world, "test")):
        there = [ring for ring in rings if at in ring.told]
        assert [ring.told[at].since for ring in there] == [began, *(ring.position for ring in there[:-1])]
        assert all(ring.places == {at} for ring in there)


def test_of_the_catalogue_and_of_very_much_it_is_only_rung(world, superuser, monkeypatch):
    rings: list[Ring] = []
    ringer = following(rings)
    superuser.execute("UPDATE keys_environment SET name = name")
    ringer.look()
    assert [(ring.places, ring.told) for ring in rings] == [(None, {})]
    monkeypatch.setattr(ringing, "MOST_TOLD", 0)
    key = issued(world)[0]
    ringer.look()
    assert (rings[-1].places, rings[-1].told) == ({place_of(world)}, {})
    missed = ringer._position
    monkeypatch.undo()
    revoke(world, key)
    ringer.look()
    assert rings[-1].told[place_of(world)].since == missed, "who did not ask has missed it"


def test_while_the_database_is_behind_its_log_nothing_is_told(world, monkeypatch):
    rings: list[Ring] = []
    ringer, look = following(rings), lease.look
    issued(world)
    monkeypatch.setattr(lease, "look", lambda at: lease.Seen(**{**vars(look(at)), "is_behind_log": True}))
    ringer.look()
    assert [(ring.places, ring.told) for ring in rings] == [(None, {})]


def test_what_cannot_be_read_ends_no_follower(world, monkeypatch):
    rings: list[Ring] = []
    ringer = following(rings)
    monkeypatch.setattr(ringing, "changes_of", lambda *_: {}["a row that is odd"])
    monkeypatch.setattr(ringing, "RETRY", 0.01)
    ringer.start()
    try:
        for name in ("Odd", "Odder"):
            rings.clear()
            issued(world, name=name)
            ringer._rung.set()
            deadline = time.monotonic() + PATIENCE
            while not rings:
                assert time.monotonic() < deadline, "nobody is rung any more"
                time.sleep(0.005)
            assert rings[0].places is None, "anything may have changed"
    finally:
        ringer.stop()
