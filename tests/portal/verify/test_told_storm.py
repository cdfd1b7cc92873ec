"""Stops in any order, rings that are lost, renewals that are overtaken: where a program says that it stands, it knows every stop."""

from __future__ import annotations

import queue
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections
from keystead_client.beliefs import State
from keystead_client.credentials import as_credential
from keystead_client.feed import Feed
from keystead_client.snapshots import read_snapshot
from keystead_client.transport import Transport

from keys.crypto.digests import digest
from keys.lifecycle.revocation import reinstate_key, suspend_key
from keys.models import Environment, KeyVersion, VerificationChange
from keys.states import SuspensionReason
from keys.verification.programs import renewing
from keys.verification.programs.renewing import Asked, Changes, renew_clients
from keys.verification.programs.ringing import Ring, Ringer
from keys.verification.programs.sharing import signing_keys, snapshot_of
from keys.verification.verifier import Binding
from portal.verify.feed.lines import told_of
from tests.people import World, acting, issued, verifying_credential
from tests.portal.verify.bells import revoke

pytestmark = [pytest.mark.usefixtures("sealing"), pytest.mark.timeout(120)]
KEYS = 8


def shows(position: str, transaction: int) -> bool:
    """Whether a position shows a transaction, as PostgreSQL says."""
    _, end, still_open = position.partition("@")[0].split(":")
    return transaction < int(end) and str(transaction) not in still_open.split(",")


class Program:
    """Holds the keys of a place, applies what it hears of, and asks where that does not follow on what it holds."""

    def __init__(self, credential: str, binding: Binding) -> None:
        own = KeyVersion.objects.get(kid=credential.split("_")[2]).managed_key_id
        holder = renewing.register("storm", credential=own, binding=binding)
        assert holder is not None
        self.holder, self.own = holder.id, own
        keys = {each["kid"]: each["x"] for each in signing_keys()}
        self.feed = Feed(Transport("http://127.0.0.1:1"), as_credential(credential), name="storm", signing_keys=keys)
        self.feed._takes_word = True
        self.feed.state = self.state = State(read_snapshot(snapshot_of(binding)[1], keys=keys))
        self.place = binding.service_id, binding.environment_id
        self.answer: Changes | None = None  # that is on its way
        self.applied = 0

    def hear(self, ring: Ring) -> None:
        told = told_of(ring, self.place)
        if told is None or self.feed._apply(told.decode().split("data: ")[1]) is None:
            self.ask()
        else:
            self.applied += 1

    def ask(self) -> None:
        """Ask where none is asked for already."""
        if self.answer is None:
            [said] = renew_clients([Asked(verifier=self.holder, credential=self.own, applied=self.state.position)])
            assert isinstance(said, Changes)
            self.answer = said

    def take(self) -> None:
        """Apply the answer that was on its way."""
        if self.answer is not None:
            assert self.feed._follow(self.state, self.answer.changes, self.answer.position) is not None
            self.answer = None


def begun(world: World) -> tuple[Program, Ringer, queue.Queue[Ring]]:
    """A program, and who tells it of changes from now on."""
    place = Binding(service_id=world.orders.pk, environment_id=Environment.objects.get(tag="prod").pk)
    rings: queue.Queue[Ring] = queue.Queue()
    ringer = Ringer(rings.put)
    ringer.look()
    rings.get_nowait()
    return Program(verifying_credential(world).reveal(), place), ringer, rings


def test_an_answer_that_a_ring_overtook_brings_nothing_back(world):
    key, _, secret = issued(world)
    program, ringer, rings = begun(world)
    suspend_key(key, actor=acting(world.responder, "suspend"), reason=SuspensionReason.INVESTIGATION)
    reinstate_key(key, actor=acting(world.admin, "reinstate"))
    program.ask()
    assert program.answer is not None
    assert program.answer.changes[0]["versions"], "it says that the key verifies"
    revoke(world, key)
    ringer.look()
    while not rings.empty():
        program.hear(rings.get())
    stands = program.state.position
    assert program.applied
    program.take()
    assert program.state.position == stands
    assert program.state.find(digest(secret)) is None
    assert program.feed._follow(program.state, [], f"1:2:@{16 * '0'}") is None, "of another past nothing can be said"


def test_where_a_program_says_it_stands_it_knows_every_stop(world, superuser):
    chance = random.Random(5)
    keys = [issued(world, name=f"Key {number}") for number in range(KEYS)]
    program, ringer, rings = begun(world)
    known: list[tuple[str, set[str]]] = []  # where it stood, and which keys it would have accepted there

    def stop(number: int) -> None:
        try:
            revoke(world, keys[number][0])
        finally:
            connections["default"].close()

    def accepted() -> set[str]:
        return {version.kid for _, version, secret in keys if program.state.find(digest(secret)) is not None}

    assert len(accepted()) == KEYS
    with superuser.transaction(), ThreadPoolExecutor(4) as stopping:
        superuser.execute("SELECT pg_current_xact_id()")  # open all the while, so that positions have a gap
        stops = [stopping.submit(stop, number) for number in range(KEYS)]
        while not (all(each.done() for each in stops) and rings.empty()):
            ringer.look()
            while not rings.empty():
                ring = rings.get()
                if chance.random() < 0.3:  # beside what follows, however that ends
                    program.ask()
                if chance.random() < 0.8:  # or else it is lost
                    program.hear(ring)
                    known.append((program.state.position, accepted()))
                if chance.random() < 0.5:
                    program.take()
                    known.append((program.state.position, accepted()))
        for each in stops:
            each.result()
    program.take()
    program.ask()
    program.take()
    known.append((program.state.position, accepted()))
    assert program.applied, "some followed on what was held"
    assert known[-1][1] == set()
    for key, version, _ in keys:
        [stopped_in] = (
            VerificationChange.objects.filter(managed_key=key).order_by("-id").values_list("txid", flat=True)[:1]
        )
        for position, kids in known:
            assert not (shows(position, stopped_in) and version.kid in kids)
