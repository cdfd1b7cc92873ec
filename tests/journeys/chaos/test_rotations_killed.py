"""Whoever takes a rotation on is killed at every border of every step, under traffic: some known secret always works."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import pytest

from audit import clock
from audit.models import AuditEvent
from keys.lifecycle.rotation import override_retirement
from keys.models import ManagedKey, Rotation
from keys.states import Overlap
from tests.audit.processes import wait_until
from tests.journeys.chaos.borders import Border, Borders
from tests.journeys.chaos.owners import Owner, bring_forward, come_back, die_while, wait_for_state
from tests.journeys.chaos.processes import Doorbell, Sweeper, VerifyDoor, Worker
from tests.journeys.chaos.traffic import Sample, Service, Traffic
from tests.journeys.travel import Traveller
from tests.people import SYSTEM, World, acting, issued, verifying_credential
from tests.servers import PortalServer

pytestmark = pytest.mark.usefixtures("sealing")
DUE = ("keys.rotate", "keys.end_what_is_over")


@dataclass
class Siege:
    """Rotations of a few keys at a time, with somebody killed at each border."""

    site: PortalServer
    worker: Worker | Sweeper
    borders: Borders
    traffic: Traffic
    owner: Owner
    world: World
    credential: str
    keys: list[ManagedKey]
    kills: Counter[str] = field(default_factory=Counter)

    def killing(self, victim: Callable[[], None]) -> Callable[[str], None]:
        """What kills, and sees to it that keys are asked about before and after."""

        def kill(action: str) -> None:
            self.traffic.go_on(self.keys[0].number)
            victim()
            self.traffic.go_on(self.keys[0].number)
            self.kills[action] += 1

        return kill

    def kill_workers(self) -> None:
        self.worker.kill_pool()
        self.borders.let_leases_pass()

    def rotate(self) -> None:
        """Scheduled rotations in which the old version ends when the new one is used; the worker dies six times."""
        kill = self.killing(self.kill_workers)
        self.borders.strike("rotation.prepared", cause=partial(self.bring_forward, Overlap.FIRST_USE), kill=kill)
        rotations = self.under_way()
        self.borders.strike("rotation.drained", "rotation.completed", cause=self.claim, kill=kill)
        for rotation in rotations:
            wait_for_state(rotation, "completed")
            self.traffic.wait_for(partial(shows_the_end_of, rotation))

    def rotate_without_workers(self) -> None:
        """The old versions end at their own time, to the second, while no worker runs."""
        self.bring_forward(Overlap.QUARTER)
        rotations = self.under_way()
        self.claim()
        self.worker.kill()
        self.kills["all of the worker"] += 1
        # As if 15 minutes had passed but for the last seconds.
        soon = clock.now() + timedelta(seconds=2 + len(self.keys))
        for rotation in rotations:
            override_retirement(rotation, retire_at=soon, actor=acting(self.world.admin, "revoke"))
        for rotation in rotations:
            self.traffic.wait_for(partial(shows_the_end_of, rotation))
            rotation.refresh_from_db()
            assert rotation.state == "draining", "nobody wrote anything down"
            self.assert_ended_in_time(rotation)

    def assert_ended_in_time(self, rotation: Rotation) -> None:
        old = rotation.old_version
        assert old is not None
        assert old.retire_at is not None
        ends_at = old.retire_at.timestamp()
        samples = [each for each in self.traffic.of(rotation.managed_key.number) if old.sequence in each.verdicts]
        accepted = [each for each in samples if each.verdicts[old.sequence] == "valid"]
        retired = [each for each in samples if each.verdicts[old.sequence] == "retired"]
        assert max(each.began for each in accepted) <= ends_at + 1
        assert max(each.heard for each in accepted) >= ends_at - 1, "it worked to its last second"
        assert min(each.began for each in retired) <= ends_at + 1

    def rotate_while_the_site_dies(self) -> None:
        """The secret is handed over at the third try: one was never minted, one was and nobody ever saw it."""
        key = self.keys[0]
        bring_forward(key, overlap=Overlap.DAY, actor=SYSTEM)
        wait_for_state(key.rotations.open().get(), "prepared")
        self._lose_an_answer(key, border=Border.INSIDE)
        assert key.versions.order_by("-sequence")[0].state == "pre-activation"
        self._lose_an_answer(key, border=Border.COMMITTING)
        assert key.versions.order_by("-sequence")[0].state == "active", "its secret is known to nobody"
        self.owner.replaces(key)
        self.traffic.go_on(key.number)
        rotation = key.rotations.open().get()
        override_retirement(rotation, retire_at=clock.now(), actor=acting(self.world.admin, "revoke"))
        wait_for_state(rotation, "completed")

    def _lose_an_answer(self, key: ManagedKey, *, border: Border) -> None:
        kill = partial(self.killing(self.site.kill_workers), "version.issued")
        die_while(self.site, self.borders, "version.issued", border, act=partial(self.owner.claims, key), kill=kill)
        come_back(self.owner.traveller)

    def bring_forward(self, overlap: Overlap) -> None:
        for key in self.keys:
            bring_forward(key, overlap=overlap, actor=SYSTEM)

    def under_way(self) -> list[Rotation]:
        """The rotations that the worker has prepared by now."""
        rotations = [key.rotations.open().get() for key in self.keys]
        for rotation in rotations:
            wait_for_state(rotation, "prepared")
            rotation.refresh_from_db()
        return rotations

    def claim(self) -> None:
        for key in self.keys:
            secret = self.owner.claims(key)
            # The site counts at once, a verifier of its own every few seconds.
            with closing(Service(self.site, self.credential)) as program:
                assert program.ask(secret) == "valid"


def shows_the_end_of(rotation: Rotation, sample: Sample) -> bool:
    """Whether somebody heard that the old version has ended and the new one works."""
    old, new = rotation.old_version, rotation.new_version
    assert old is not None
    assert new is not None
    ended = {old.sequence: "retired", new.sequence: "valid"}
    return sample.key == rotation.managed_key.number and ended.items() <= sample.verdicts.items()


@contextmanager
def siege(
    site: PortalServer, door: VerifyDoor, worker: Worker | Sweeper, borders: Borders, world: World, *, keys: int
) -> Iterator[Siege]:
    """Traffic about the keys of one owner; afterwards there was never a moment without a secret that works."""
    credential = verifying_credential(world).reveal()
    door.wait()
    with Traffic(door, credential) as traffic:
        owner = Owner(Traveller(site, world.alice).takes_place(), traffic)
        found = Siege(site, worker, borders, traffic, owner, world, credential, [])
        for place in range(keys):
            key, version, secret = issued(world, name=f"Report {place}")
            traffic.learn(key.number, version.sequence, secret.reveal())
            traffic.settle(key.number)
            found.keys.append(key)
        worker.wait()
        yield found
    assert traffic.without_a_valid_one() == []
    assert traffic.attempts > 100
    assert traffic.accepted > 100
    seconds = traffic.samples[-1].heard - traffic.samples[0].began
    completed = AuditEvent.objects.filter(action="rotation.completed").count()
    print(
        f"{completed} rotations, kills {dict(found.kills)}, {traffic.attempts} verifications in {seconds:.0f} s "
        f"({traffic.attempts / seconds:.0f} a second), {traffic.accepted} accepted"
    )


def test_some_known_secret_verifies_while_the_worker_is_killed_at_every_border(
    portal_server: PortalServer, door: VerifyDoor, sweeper: Sweeper, borders: Borders, world: World
) -> None:
    with siege(portal_server, door, sweeper, borders, world, keys=1) as under:
        under.rotate()
        under.rotate_without_workers()


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_some_known_secret_verifies_through_a_hundred_rotations_under_kills(
    portal_server: PortalServer, door: VerifyDoor, worker: Worker, borders: Borders, world: World
) -> None:
    with Doorbell(*DUE), siege(portal_server, door, worker, borders, world, keys=5) as under:
        for turn in range(20):
            if turn % 7 == 3:
                under.rotate_without_workers()
                worker.launch().wait()
                wait_until(lambda: not Rotation.objects.filter(state="draining").exists())
            else:
                under.rotate()
            if turn % 7 == 5:
                under.rotate_while_the_site_dies()
    assert AuditEvent.objects.filter(action="rotation.completed").count() >= 100
    for action in ("rotation.prepared", "rotation.drained", "rotation.completed"):
        assert under.kills[action] >= 30
    assert under.kills["all of the worker"] >= 3
    assert under.kills["version.issued"] >= 4
