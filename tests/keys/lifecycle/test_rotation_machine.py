"""Random lives of keys keep the invariants; and each fault that is planted is found, or the net has a hole."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from keys.verification import lookup
from keys.verification.counting import sightings
from portal.layout import layout_at
from tests.ahead import travelling
from tests.fetching import fetching as fetching_key
from tests.keys.lifecycle.rotation_faults import FAULTS, Fault, Step
from tests.keys.lifecycle.rotation_machine import RotationMachine, Stage
from tests.people import make_world, submitted
from tests.portal.api.stage import rolled_back


@pytest.fixture(scope="module")
def stage(django_db_setup: None, django_db_blocker: Any) -> Iterator[type[RotationMachine]]:
    """Set the stage once, with a clock that can be moved; every run has its own copy."""
    database = os.environ["DATABASE_URL"].rsplit("/", 1)[-1].split("?")[0]
    with (
        django_db_blocker.unblock(),
        psycopg.connect(
            layout_at(os.environ["KEYSTEAD_DATA"]).conninfo(database=database), autocommit=True
        ) as superuser,
        travelling(superuser),
        rolled_back(),
    ):
        world = make_world()
        key, version, secret = fetching_key(world, authorised_days=70)
        pending = submitted(world, name="Pending", networks=("10.0.0.0/8",))
        RotationMachine.stage = Stage(world, key, version, secret, pending)
        yield RotationMachine


@pytest.fixture(autouse=True)
def _one_transaction(monkeypatch: pytest.MonkeyPatch, django_db_blocker: Any) -> Iterator[None]:
    """Verify in the transaction of the run, which nobody else sees."""
    monkeypatch.setattr(lookup, "VERIFIER", "default")
    monkeypatch.setattr(sightings, "VERIFIER", "default")
    with django_db_blocker.unblock():
        yield


def live(machine: type[RotationMachine], *, runs: int, steps: int, shrink: bool = True) -> None:
    """Let keys live."""
    phases = [Phase.generate, *([Phase.shrink] if shrink else [])]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=runs,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=True,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_whatever_happens_to_a_key_the_invariants_hold(stage: type[RotationMachine]) -> None:
    live(stage, runs=4, steps=30)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_whatever_happens_to_a_key_for_long_the_invariants_hold(stage: type[RotationMachine]) -> None:
    live(stage, runs=150, steps=50)


def lead(machine: type[RotationMachine], life: Iterable[Step]) -> None:
    """Let one key live as it is told."""
    run = machine()
    try:
        for step in life:
            step(run)
            run.the_invariants_hold()
    finally:
        run.teardown()


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_a_planted_fault_is_found_in_a_life_that_does_not_miss_it(
    stage: type[RotationMachine], monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    lead(stage, fault.life)
    fault.plant(monkeypatch)
    with pytest.raises(AssertionError, match=fault.words):
        lead(stage, fault.life)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_a_planted_fault_is_found_in_random_lives(
    stage: type[RotationMachine], monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    fault.plant(monkeypatch)
    with pytest.raises(AssertionError, match=fault.words):
        live(stage, runs=600, steps=50, shrink=False)
