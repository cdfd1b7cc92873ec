"""PostgreSQL is stopped at once, three times under load: what was acknowledged stands, and everybody goes on by themselves."""

from __future__ import annotations

from contextlib import closing

import pytest

from audit.checkpoints import backlog
from keys.models import Rotation
from tests.audit.processes import wait_until
from tests.journeys.chaos.database import Database
from tests.journeys.chaos.load import Load
from tests.journeys.chaos.processes import Doorbell, SealerProcess, VerifyDoor, Worker
from tests.journeys.chaos.test_rotations_killed import DUE
from tests.journeys.chaos.traffic import UNANSWERED, Service, Traffic
from tests.people import World, issued, verifying_credential
from tests.portal.api.stage import make_program
from tests.servers import PortalServer


def is_served(traffic: Traffic, key: int) -> None:
    traffic.wait_for(lambda each: each.key == key and each.is_valid)


def stop_under_load(
    site: PortalServer, door: VerifyDoor, worker: Worker, sealer: SealerProcess, database: Database, world: World,
    *, stops: int, keys: int,
) -> None:  # fmt: skip
    wait_until(lambda: backlog().waiting == 0)  # the sealer is at work
    credential = verifying_credential(world).reveal()
    door.wait()
    pipeline = make_program(world.reporting, world.alice)[1].reveal()
    steady, version, secret = issued(world)
    with (
        Traffic(door, credential) as traffic,
        Load(site, world, pipeline, keys=keys) as load,
        Doorbell(*DUE, "keys.react"),
    ):
        traffic.learn(steady.number, version.sequence, secret.reveal())
        worker.wait()
        for _ in range(stops):
            load.go_on()
            is_served(traffic, steady.number)
            database.stop_immediately()
            traffic.wait_for(lambda each: UNANSWERED in each.verdicts.values())
            database.start()
            is_served(traffic, steady.number)
        load.go_on()
        # Nobody rang louder, started anything again or mended a row: the same worker takes what came due, the same
        # sealer seals it.
        due = [rotation.pk for rotation in load.done.due]
        wait_until(lambda: not Rotation.objects.filter(pk__in=due, state="scheduled").exists())
        assert worker.lives()
        assert sealer.lives()
        assert site.process is not None
        assert site.process.poll() is None
    wait_until(lambda: backlog().waiting == 0)
    assert load.lost() == []
    with closing(Service(door, credential)) as service:
        assert {service.ask(secret) for _, secret in load.done.revoked} == {"revoked"}
        assert {service.ask(secret) for *_, secret in load.done.claimed} == {"valid"}
    counts, interrupted = load.done.counts(), sum(load.unanswered.values())
    assert min(counts.values()) > stops
    assert interrupted >= stops, "nobody was interrupted"
    assert not [words for words in load.unanswered if words.endswith("500")], "it is said that the database is away"
    answers = {each for sample in traffic.samples for each in sample.verdicts.values()}
    assert answers == {"valid", UNANSWERED}, "an outage never refuses what is valid, nor the other way round"
    print(
        f"{counts}, not answered {dict(load.unanswered)}, refused {dict(load.refused)}; {traffic.attempts} verifications"
    )


def test_what_was_acknowledged_survives_a_database_that_is_stopped_at_once(
    site: PortalServer,
    door: VerifyDoor,
    durable_database: Database,
    worker: Worker,
    sealer: SealerProcess,
    world: World,
) -> None:
    stop_under_load(site, door, worker, sealer, durable_database, world, stops=1, keys=150)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_what_was_acknowledged_survives_three_stops_under_a_long_load(
    site: PortalServer,
    door: VerifyDoor,
    durable_database: Database,
    worker: Worker,
    sealer: SealerProcess,
    world: World,
) -> None:
    stop_under_load(site, door, worker, sealer, durable_database, world, stops=3, keys=600)
