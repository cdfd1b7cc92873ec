"""Revoke a key in each phase of its rotation, under traffic: once that is answered, nothing of it ever verifies again.

With every `make test`, `tests/journeys/test_ways_to_rotate.py` revokes in each phase without traffic, and
`tests/portal/verify/test_revoked_everywhere.py` under traffic, in every process of the door.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import pytest
import requests

from audit import clock
from benchmarks.emergency.population import Owners, make_keys
from keys.errors import KeysError
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.fetching import activate_fetched, fetch_next
from keys.lifecycle.revocation import reinstate_key
from keys.lifecycle.rotation import (
    abort_rotation,
    issue_new_version,
    override_retirement,
    start_rotation,
    take_back_rotation,
    undo_rotation,
)
from keys.models import ManagedKey, Rotation
from keys.states import Overlap
from keys.tasks import rotate
from tests.fetching import INSIDE, TOKEN, client_of, due, fetching
from tests.journeys.chaos.processes import Doorbell, VerifyDoor, Worker
from tests.journeys.chaos.test_rotations_killed import DUE
from tests.journeys.chaos.traffic import Traffic
from tests.people import SYSTEM, World, acting, verifying_credential
from tests.portal.api.stage import make_program
from tests.servers import PortalServer

pytestmark = pytest.mark.usefixtures("sealing")


@dataclass
class Stage:
    """Keys, each in another phase of its rotation, and every secret of theirs that was ever handed out."""

    world: World
    traffic: Traffic

    def key(self) -> ManagedKey:
        owners = Owners(
            team=self.world.reporting, recipient=self.world.alice, service=self.world.orders, scopes=("orders:read",)
        )
        ((key, secret),) = make_keys(owners, count=1, actor=SYSTEM)
        self.traffic.learn(key.number, 1, secret)
        return key

    def scheduled(self) -> ManagedKey:
        return self.key()

    def prepared(self) -> ManagedKey:
        key = self.key()
        start_rotation(key, overlap=Overlap.HOUR, actor=acting(self.world.alice, "claim"))
        return key

    def handed_over(self) -> ManagedKey:
        """Its client fetched the next secret and has not shown it: the old one works, the new one is known."""
        key, old, secret = fetching(self.world)
        self.traffic.learn(key.number, old.sequence, secret.reveal())
        due(self.world, key)
        handed = fetch_next(old, token=TOKEN, address=INSIDE, actor=client_of(key))
        self.traffic.learn(key.number, handed.version.sequence, handed.secret.reveal())
        return key

    def claimed(self, overlap: Overlap) -> ManagedKey:
        key = self.key()
        rotation = start_rotation(key, overlap=overlap, actor=acting(self.world.alice, "claim"))
        self.claim_newest(key)
        rotation.refresh_from_db()
        return key

    def claim_newest(self, key: ManagedKey) -> None:
        """What is handed out is asked about."""
        version = key.versions.select_related("managed_key").order_by("-sequence")[0]
        secret = claim_secret(version, actor=acting(self.world.alice, "claim")).secret
        if secret is not None:
            self.traffic.learn(key.number, version.sequence, secret.reveal())

    def activated(self) -> ManagedKey:
        return self.claimed(Overlap.WHEN_IDLE)

    def draining(self) -> ManagedKey:
        return self.claimed(Overlap.HOUR)

    def completed(self) -> ManagedKey:
        key = self.claimed(Overlap.NOW)
        rotate()
        return key

    def rolled_back(self) -> ManagedKey:
        key = self.claimed(Overlap.HOUR)
        undo_rotation(key.rotations.open().get(), actor=acting(self.world.alice, "claim"))
        return key

    def aborted(self) -> ManagedKey:
        key = self.prepared()
        abort_rotation(key.rotations.open().get(), actor=acting(self.world.alice, "claim"))
        return key

    def all_phases(self) -> dict[str, ManagedKey]:
        made = {
            "scheduled": self.scheduled(), "prepared": self.prepared(),
            "handed-over": self.handed_over(), "activated": self.activated(),
            "draining": self.draining(), "completed": self.completed(), "rolled-back": self.rolled_back(),
            "aborted": self.aborted(),
        }  # fmt: skip
        for phase, key in made.items():
            states = set(key.rotations.values_list("state", flat=True))
            assert phase in states, (phase, states)
        return made


def try_again(stage: Stage, key: ManagedKey) -> None:
    """Everything that could bring a dead key back, by people who might."""
    alice, admin = acting(stage.world.alice, "*"), acting(stage.world.admin, "*")
    rotation = key.rotations.order_by("-created_at")[0]
    later = clock.now() + timedelta(days=1)
    newest, oldest = key.versions.latest("sequence"), key.versions.earliest("sequence")
    client = client_of(key)
    acts: list[Callable[[], object]] = [
        partial(fetch_next, oldest, token=TOKEN, address=INSIDE, actor=client),
        partial(activate_fetched, newest, address=INSIDE, actor=client),
        partial(take_back_rotation, rotation, actor=alice),
        partial(start_rotation, key, actor=alice),
        partial(issue_new_version, key, actor=alice),
        partial(undo_rotation, rotation, actor=alice),
        partial(abort_rotation, rotation, actor=alice),
        partial(override_retirement, rotation, retire_at=later, actor=admin),
        partial(reinstate_key, key, actor=admin),
    ]
    for act in acts:
        with pytest.raises(KeysError):
            act()
    with suppress(KeysError):
        stage.claim_newest(key)  # a secret would be asked about like every other


@pytest.mark.long
def test_whatever_phase_its_rotation_is_in_a_revoked_key_is_dead(
    portal_server: PortalServer, door: VerifyDoor, worker: Worker, world: World
) -> None:
    credential = verifying_credential(world).reveal()
    door.wait()
    pipeline = make_program(world.reporting, world.alice)[1].reveal()
    with Traffic(door, credential) as traffic, Doorbell(*DUE):
        stage = Stage(world, traffic)
        keys = stage.all_phases()
        worker.wait()
        answered: dict[str, float] = {}
        for phase, key in keys.items():
            assert traffic.go_on(key.number).is_valid, phase
            answer = requests.post(
                f"{portal_server.url}/api/v1/keys/{key.pk}/revoke",
                json={"reason": "superseded"},
                headers={"Authorization": f"Bearer {pipeline}"},
                timeout=30,
            )
            answered[phase] = time.time()
            assert answer.status_code == 200, answer.text
        for key in keys.values():
            try_again(stage, key)
        door.kill_workers()  # nothing was remembered by a process, and nothing is forgotten with it
        for key in keys.values():
            traffic.go_on(key.number)
    for phase, key in keys.items():
        before = [each for each in traffic.of(key.number) if each.heard < answered[phase]]
        after = [each for each in traffic.of(key.number) if each.began > answered[phase]]
        assert any(each.is_valid for each in before), phase
        assert len(after) > 5, phase
        dead = {"revoked", "retired", "unanswered"}
        if phase == "handed-over":
            dead.add("unknown")  # what was fetched and never shown has never been in force
        for each in after:
            assert set(each.verdicts.values()) <= dead, (phase, each)
            assert each.verdicts[min(each.verdicts)] != "unknown", (phase, each)
        assert not Rotation.objects.open().filter(managed_key=key).exists(), phase
