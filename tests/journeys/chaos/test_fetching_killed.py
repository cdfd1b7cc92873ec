"""The site is killed at each border while a client takes its next secret: some secret that it knows always works."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import pytest

from audit import clock
from audit.models import AuditEvent
from keys.lifecycle.rotation import override_retirement
from keys.models import KeyVersion, Rotation
from keys.states import Overlap
from tests.audit.processes import wait_until
from tests.fetching import due, fetching
from tests.journeys.chaos.borders import Border, Borders
from tests.journeys.chaos.fetchers import Fetcher
from tests.journeys.chaos.owners import bring_forward, die_while, is_open, wait_for_state
from tests.journeys.chaos.processes import Doorbell, VerifyDoor, Worker
from tests.journeys.chaos.test_rotations_killed import DUE
from tests.journeys.chaos.traffic import Traffic
from tests.people import SYSTEM, World, acting, verifying_credential
from tests.servers import PortalServer

pytestmark = pytest.mark.usefixtures("sealing")
NETWORKS = ("10.0.0.0/8", "127.0.0.0/8")  # the services say the one, the client of these tests comes from the other


@dataclass
class Hunt:
    """A client that is robbed of its answers."""

    site: PortalServer
    borders: Borders
    client: Fetcher
    kills: Counter[str] = field(default_factory=Counter)

    @property
    def rotation(self) -> Rotation:
        return self.client.key.rotations.select_related("new_version").latest("created_at")

    @property
    def newest(self) -> KeyVersion:
        return self.client.key.versions.order_by("-sequence")[0]

    def fetching(self, action: str, border: Border) -> None:
        self._dies(action, border, activating=False)

    def activating(self, action: str, border: Border) -> None:
        self._dies(action, border, activating=True)

    def _dies(self, action: str, border: Border, *, activating: bool) -> None:
        act = self.client.activate if activating else self.client.fetch
        die_while(self.site, self.borders, action, border, act=act, kill=self._kill)
        wait_until(partial(is_open, self.site))
        self.kills[f"{action} {border.name}"] += 1

    def _kill(self) -> None:
        """Kill whoever answers; the key is asked about before and after."""
        self.client.traffic.go_on(self.client.key.number)
        self.site.kill_workers()
        self.client.traffic.go_on(self.client.key.number)

    def take_the_next_secret(self) -> None:
        """Answers are lost whose acts stand; asking again is all that it takes."""
        intents = self._intents()
        self.fetching("version.claim-intended", Border.COMMITTING)
        assert (self._intents(), self.rotation.state) == (intents + 1, "prepared"), "intended, and nothing was minted"
        self.fetching("rotation.handed-over", Border.COMMITTING)
        lost = self.newest
        assert (lost.state, self.rotation.state) == ("pre-activation", "handed-over"), "its secret is known to nobody"
        assert self.client.fetch() == 2
        lost.refresh_from_db()
        assert (lost.state, lost.ended_reason) == ("deactivated", "handed-over-again")

        self.activating("rotation.activated", Border.COMMITTING)
        assert self.newest.state == "active", "it works, and its client has not heard of it"
        expires_at = self.newest.expires_at
        assert self.client.activate() in ("activated", "draining")
        assert self.newest.expires_at == expires_at, "asked again, it lives no longer"
        self.client.traffic.wait_for(lambda each: each.verdicts.get(self.newest.sequence) == "valid")
        self.client.go_on()

    def lose_what_never_was(self) -> None:
        """Killed before a commit, nothing of it ever was."""
        intents = self._intents()
        self.fetching("version.claim-intended", Border.INSIDE)
        assert (self._intents(), self.rotation.state) == (intents, "prepared")
        self.fetching("version.issued", Border.INSIDE)
        assert (self.newest.claimed_at, self.rotation.state) == (None, "prepared")
        assert self.client.fetch() == 1
        self.activating("version.activated", Border.INSIDE)
        assert (self.newest.state, self.rotation.state) == ("pre-activation", "handed-over")
        assert self.client.activate() in ("activated", "draining")
        self.client.go_on()

    def _intents(self) -> int:
        return AuditEvent.objects.filter(action="version.claim-intended").count()


@contextmanager
def hunted(
    site: PortalServer, door: VerifyDoor, borders: Borders, world: World, *, keys: int, rate: float = 200
) -> Iterator[tuple[Traffic, list[Hunt]]]:
    """Clients under traffic; afterwards there was never a moment without a secret that works."""
    credential = verifying_credential(world).reveal()
    door.wait()
    with Traffic(door, credential, rate=rate) as traffic:
        hunts = []
        for place in range(keys):
            key, version, secret = fetching(world, name=f"Fetches {place}", networks=NETWORKS)
            traffic.learn(key.number, version.sequence, secret.reveal())
            traffic.settle(key.number)
            hunts.append(Hunt(site, borders, Fetcher(site, traffic, key, secret.reveal())))
        yield traffic, hunts
    assert traffic.without_a_valid_one() == []
    assert traffic.accepted > 100
    issued = AuditEvent.objects.filter(action="version.issued").values_list("target_id", flat=True)
    assert len(issued) == len(set(issued)), "no secret was handed out twice"
    kills = sum((each.kills for each in hunts), Counter[str]())
    print(f"kills {dict(kills)}, {traffic.attempts} verifications, {traffic.accepted} accepted")


@pytest.mark.long
def test_a_client_whose_answers_are_lost_at_every_border_always_has_a_secret_that_works(
    portal_server: PortalServer, door: VerifyDoor, borders: Borders, world: World
) -> None:
    with hunted(portal_server, door, borders, world, keys=1, rate=60) as (_, [hunt]):
        due(world, hunt.client.key)
        hunt.take_the_next_secret()
        assert sum(hunt.kills.values()) == 3


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_clients_replace_their_secrets_again_and_again_while_the_site_and_the_worker_are_killed(
    portal_server: PortalServer, door: VerifyDoor, worker: Worker, borders: Borders, world: World
) -> None:
    with Doorbell(*DUE), hunted(portal_server, door, borders, world, keys=2) as (traffic, hunts):
        worker.wait()
        died: Counter[str] = Counter()

        def kill_workers(action: str) -> None:
            traffic.go_on(hunts[0].client.key.number)
            worker.kill_pool()
            borders.let_leases_pass()
            died[action] += 1

        for turn in range(3):
            for hunt in hunts:
                borders.strike(
                    "rotation.prepared",
                    cause=partial(bring_forward, hunt.client.key, overlap=Overlap.HOUR, actor=SYSTEM),
                    kill=kill_workers,
                )
                rotation = hunt.rotation
                wait_for_state(rotation, "prepared")
                if turn == 1:
                    hunt.lose_what_never_was()
                else:
                    hunt.take_the_next_secret()
                ended = partial(
                    override_retirement, rotation, retire_at=clock.now(), actor=acting(world.admin, "revoke")
                )
                borders.strike("rotation.completed", cause=ended, kill=kill_workers)
                wait_for_state(rotation, "completed")
        assert AuditEvent.objects.filter(action="rotation.completed").count() == 6
        assert died == {"rotation.prepared": 12, "rotation.completed": 12}
