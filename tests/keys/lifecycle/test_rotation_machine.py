"""Random lives of keys keep the invariants; and each fault that is planted is found, or the net has a hole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from keys.events import VersionIssued
from keys.lifecycle import claiming, fetch_facts, fetching, revocation, rotation, rotation_course
from keys.lifecycle.issuance import end_of
from keys.lifecycle.transitions import move_version
from keys.states import VersionState
from keys.verification import lookup, sightings
from portal.layout import layout_at
from tests.ahead import travelling
from tests.fetching import fetching as fetching_key
from tests.keys.lifecycle.rotation_machine import RotationMachine, Stage
from tests.people import make_world, submitted
from tests.portal.api.stage import rolled_back

Plant = Callable[[pytest.MonkeyPatch], None]


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


def _older_ones_live_on(patch: pytest.MonkeyPatch) -> None:
    end = rotation_course.end_version_of
    patch.setattr(
        rotation_course,
        "end_version_of",
        lambda version, **facts: None if version.state == VersionState.ACTIVE else end(version, **facts),
    )


def _revocation_forgets_the_suspended(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(revocation, "LIVING_VERSION_STATES", (VersionState.PRE_ACTIVATION, VersionState.ACTIVE))


def _a_fetched_secret_works_at_once(patch: pytest.MonkeyPatch) -> None:
    def issue(version: Any, event: Any, *, actor: Any, at: Any, columns: Any, **facts: Any) -> Any:
        columns |= {"activated_at": at, "expires_at": end_of(version.managed_key, at=at)}
        assert event is VersionIssued
        return move_version(version, VersionState.ACTIVE, event, actor=actor, at=at, columns=columns, **facts)

    patch.setattr(fetching, "change_version", issue)


def _a_second_token_is_served(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(fetching._Found, "contest", lambda found, token, actor: None)


def _undo_leaves_the_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rotation, "change_version", lambda version, *arguments, **facts: version)


def _a_version_outlives_the_authorisation(patch: pytest.MonkeyPatch) -> None:
    for module in (claiming, fetching):
        patch.setattr(module, "end_of", lambda key, at: at + timedelta(days=key.cryptoperiod_days))


def _preparing_ends_the_old_one(patch: pytest.MonkeyPatch) -> None:
    begin = rotation_course.begin_rotation

    def begun(key: Any, *, actor: Any, at: Any, old_version: Any = None, **facts: Any) -> Any:
        if old_version is not None and facts.get("new_version") is not None:
            rotation_course.retire(old_version, retire_at=at, actor=actor, at=at)
        return begin(key, actor=actor, at=at, old_version=old_version, **facts)

    patch.setattr(rotation_course, "begin_rotation", begun)


def _networks_do_not_matter(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(fetch_facts, "outside_networks", lambda networks, address: False)


FAULTS: list[tuple[Plant, str]] = [
    (_older_ones_live_on, "more than two secrets work"),
    (_revocation_forgets_the_suspended, "a version of a revoked key lives"),
    (_a_fetched_secret_works_at_once, "its client never showed it"),
    (_a_second_token_is_served, "two tokens have a secret each"),
    (_undo_leaves_the_end, "an end without a newer one|nothing works any more"),
    (_a_version_outlives_the_authorisation, "outlives its key's authorisation"),
    (_preparing_ends_the_old_one, "nothing works any more"),
    (_networks_do_not_matter, "outside the key's networks"),
]


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("plant", "words"), FAULTS, ids=[plant.__name__.strip("_") for plant, _ in FAULTS])
def test_a_planted_fault_is_found(
    stage: type[RotationMachine], monkeypatch: pytest.MonkeyPatch, plant: Plant, words: str
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError, match=words):
        live(stage, runs=200, steps=50, shrink=False)
