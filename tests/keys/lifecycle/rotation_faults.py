"""Plant faults in what replaces secrets, one for each promise, each with a short life of a key that shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from keys.events import VersionIssued
from keys.lifecycle import claiming, fetch_facts, fetching, revocation, rotation, rotation_course
from keys.lifecycle.issuance import end_of
from keys.lifecycle.rotation import undo_rotation
from keys.lifecycle.transitions import move_version
from keys.states import Overlap, VersionState
from tests.fetching import OTHER_TOKEN, TOKEN
from tests.keys.lifecycle.rotation_machine import RotationMachine

Step = Callable[[RotationMachine], object]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is planted, what the net says of it, and a life that does not miss it; without it that life is a good one."""

    plant: Callable[[pytest.MonkeyPatch], None]
    words: str
    life: tuple[Step, ...]

    @property
    def name(self) -> str:
        return self.plant.__name__.strip("_").replace("_", "-")


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


def _start(overlap: Overlap = Overlap.HOUR) -> Step:
    return partial(RotationMachine.start, which=0, overlap=overlap, compromised=1)


def _fetch(token: str = TOKEN, *, inside: bool = True) -> Step:
    return partial(RotationMachine.fetch, which=0, past=0, token=token, inside=inside)


def _wait(days: int) -> Step:
    return partial(RotationMachine.wait, span=timedelta(days=days))


_claim: Step = partial(RotationMachine.claim, which=0)
_lost: Step = partial(RotationMachine.issue, which=0, claimed=False)
_replace: Step = partial(RotationMachine.issue, which=0, claimed=True)
_work: Step = RotationMachine.work

FAULTS = [
    Fault(plant=_older_ones_live_on, words="more than two secrets work", life=(_replace, _replace)),
    Fault(
        plant=_revocation_forgets_the_suspended,
        words="a version of a revoked key lives",
        life=(
            partial(RotationMachine.stop, which=0, seldom=0, leaked=False),
            partial(RotationMachine.revoke, which=0, seldom=0),
        ),
    ),
    Fault(plant=_a_fetched_secret_works_at_once, words="its client never showed it", life=(_start(), _fetch())),
    Fault(
        plant=_a_second_token_is_served,
        words="two tokens have a secret each",
        life=(_start(), _fetch(), _fetch(OTHER_TOKEN)),
    ),
    Fault(
        plant=_undo_leaves_the_end,
        words="an end without a newer one|nothing works any more",
        life=(_start(), _claim, partial(RotationMachine.decide, which=0, act=undo_rotation)),
    ),
    Fault(
        plant=_a_version_outlives_the_authorisation,
        words="outlives its key's authorisation",
        life=(_wait(25), _work, _claim, _wait(25), _work, _work, _claim),
    ),
    Fault(
        plant=_preparing_ends_the_old_one,
        words="nothing works any more",
        life=(_start(Overlap.NOW), _claim, _lost),
    ),
    Fault(plant=_networks_do_not_matter, words="outside the key's networks", life=(_start(), _fetch(inside=False))),
]
