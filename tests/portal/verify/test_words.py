"""A program says what it has applied: by a request of its own, or on the line that it holds."""

from __future__ import annotations

import asyncio
import json
from uuid import uuid4

import pytest

from keys.models import KeyVersion, Verifier
from keys.verification.memory import lease
from keys.verification.programs import renewing
from keys.verification.programs.renewing import Asked, renew_clients
from keys.verification.programs.ringing import Ring
from keys.verification.programs.sharing import position_in
from keys.verification.verifier import Binding
from keys.verification.watching.receipts import How, stop_with_receipt
from portal.verify.feed.doorbell import Doorbell
from portal.verify.feed.lines import shown_by
from portal.verify.problems import Reply
from portal.verify.renewals import Knock
from tests.keys.verification.following import behind_the_back
from tests.people import issued, verifying_credential
from tests.portal.verify.bells import PATIENCE, Call, beside, event_in, listening, pending, place_of, revoke

pytestmark = [pytest.mark.usefixtures("sealing"), pytest.mark.timeout(240)]


@pytest.fixture
def program(world, superuser) -> tuple[Verifier, str]:
    """A program that verifies in its own process and holds a lease that nobody renews, with its credential."""
    behind_the_back(superuser, "UPDATE keys_environment SET max_staleness_ms = 60000 WHERE tag = 'prod'")
    credential, at = verifying_credential(world), place_of(world)
    own = KeyVersion.objects.get(kid=credential.reveal().split("_")[2]).managed_key
    holder = renewing.register("orders-api", credential=own.pk, binding=Binding(service_id=at[0], environment_id=at[1]))
    assert holder is not None
    past, place = lease.history()
    renew_clients([Asked(verifier=holder.id, credential=own.pk, applied=position_in(place, past))])
    return Verifier.objects.get(pk=holder.id), credential.reveal()


@pytest.fixture
def asked_for(monkeypatch) -> list[str]:
    """The credentials of which somebody asks the database whose they are, in vain."""
    shown: list[str] = []
    monkeypatch.setattr("portal.verify.renewals.program_of", lambda each, **_: shown.append(each) or {}[""])
    return shown


def test_a_program_that_listens_is_believed_by_its_line(world, program, asked_for):
    (verifier, credential), key, at = program, issued(world)[0], place_of(world)
    path = f"/v1/verifiers/{verifier.pk}/applied"

    async def ask(bell):
        call = await Call(bell, credential).begun()
        await beside(revoke, world, key)
        position = event_in(await call.line(), at).position
        say = {"path": path, "body": {"applied": position}}
        assert await Call(bell, credential, **say).status() == 204
        receipt = await beside(stop_with_receipt, key, action="revoked")
        assert [word["how"] for word in receipt.verifiers] == [How.ACKNOWLEDGED]
        odd = Call(bell, credential, path=path, body={"applied": "soon"})
        assert await odd.problem() == (422, "invalid_input")
        assert not asked_for
        lease_path = path.replace("applied", "lease")
        for shown, door in (("ks_prod_x", path), (credential, lease_path)):
            assert await Call(bell, shown, path=door, body={"applied": position}).status() == 503
        assert len(asked_for) == 2, "a stranger is asked for, and so is whoever wants a new lease"
        await call.hang_up()
        assert await Call(bell, credential, **say).status() == 503
        assert len(asked_for) == 3, "and whoever listens no more"

    listening(ask)


async def owing(bell: Doorbell, *, credential: str, words: int = 9) -> Call:
    """A line on which so many changes were told."""
    call = await Call(bell, credential, method="POST").begun()
    (line,) = [each for each in bell.lines.all if each.shown == shown_by(f"Bearer {credential}", "127.0.0.1")]
    line.owes = words
    return call


def word(verifier: object, applied: str) -> bytes:
    return json.dumps({"verifier": str(verifier), "applied": applied}).encode() + b"\n"


def test_a_program_says_on_its_line_what_it_has_applied(world, program, asked_for):
    (verifier, credential), at = program, place_of(world)
    keys = [issued(world, name=name)[0] for name in ("First", "Second")]

    async def ask(bell):
        call = await Call(bell, credential, method="POST").begun()
        for key in keys:
            await beside(revoke, world, key)
            said = word(verifier.pk, event_in(await call.line(), at).position)
            await call.say(said[:40])  # a line may come in pieces
            await call.say(said[40:])
            receipt = await beside(stop_with_receipt, key, action="revoked")
            assert [each["how"] for each in receipt.verifiers] == [How.ACKNOWLEDGED]
        assert not pending(call), "and is answered nothing"
        await call.hang_up()

    listening(ask)
    assert not asked_for


def test_what_is_not_taken_is_rung_for_and_acknowledges_nothing(world, program):
    """Of another's verifier, of another past, no position: only a renewal tells where such a program stands."""
    verifier, credential = program
    another = verifying_credential(world).reveal()

    async def ask(bell):
        call = await owing(bell, credential=another)
        ring = bell.lines.last
        position = json.loads(ring.split(b"data: ")[1])["position"]
        mine = await owing(bell, credential=credential)
        other_past = position.partition("@")[0] + "@" + 16 * "0"
        for caller, who, applied in (
            (call, verifier.pk, position),
            (mine, uuid4(), position),
            (mine, verifier.pk, other_past),
            (mine, verifier.pk, "soon"),
        ):
            await caller.say(word(who, applied))
            assert await caller.line() == ring
        bell._ring(Ring(position="1:1:"))  # its credential may have changed
        await mine.line()
        await mine.say(word(verifier.pk, position))
        assert await mine.line() == bell.lines.last

    listening(ask)
    assert Verifier.objects.get(pk=verifier.pk).applied == verifier.applied


@pytest.mark.parametrize(
    "odd", [b"no JSON\n", b"\n", b"[]\n", b'{"applied": "1:1:"}\n', b'{"verifier": "", "more": 1}\n', b"a" * 5000, b'{"a":1,"a":1}\n']
)  # fmt: skip
def test_what_is_no_word_ends_the_line(world, odd):
    credential = verifying_credential(world).reveal()

    async def ask(bell):
        call = await owing(bell, credential=credential)
        await call.say(odd)
        await asyncio.wait_for(call.task, PATIENCE)
        assert not bell.lines.all

    listening(ask)


def test_there_is_a_word_for_each_change_that_was_told_and_no_more(world, program):
    """What a program that is long gone had sent would be read and taken for as long as it lasts."""
    (verifier, credential), key, at = program, issued(world)[0], place_of(world)

    async def ask(bell):
        call = await Call(bell, credential, method="POST").begun()
        await beside(revoke, world, key)
        said = word(verifier.pk, event_in(await call.line(), at).position)
        await call.say(said + said)
        await asyncio.wait_for(call.task, PATIENCE)
        assert not bell.lines.all

    listening(ask)
    assert Verifier.objects.get(pk=verifier.pk).applied != verifier.applied, "the first was taken"


def test_a_word_is_read_when_the_one_before_was_taken(world, program, monkeypatch):
    """Who says more than is heard fills no memory here but the system's."""
    verifier, credential = program
    served: asyncio.Queue[Knock] = asyncio.Queue()

    async def ask(bell):
        call = await owing(bell, credential=credential)
        monkeypatch.setattr(bell._words, "ask", served.put_nowait)
        for _ in range(3):
            await call.say(word(verifier.pk, "1:1:"))
        first = await asyncio.wait_for(served.get(), PATIENCE)
        await asyncio.sleep(0.05)
        assert (served.qsize(), call.unread) == (0, 2)
        first.answer(Reply(status=204, body=b"", headers={}))
        await asyncio.wait_for(served.get(), PATIENCE)

    listening(ask)
