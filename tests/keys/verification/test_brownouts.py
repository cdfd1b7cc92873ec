"""Before its end an old version is refused for moments, the same for every verifier, and never in the last resort."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from audit import clock
from audit.actor import Actor
from keys.catalogue.policies import add_version, rules_of
from keys.crypto.secrets import Secret
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.rotation import start_rotation
from keys.models import Environment, KeyVersion, Policy, Rotation, UsageCount
from keys.operations import operation
from keys.sealing import keyring
from keys.states import Overlap
from keys.verification.brownouts import WARNINGS, brownouts, is_browned_out
from keys.verification.lookup import Found, find
from keys.verification.reasons import Reason
from keys.verification.verification import verify_key
from keys.verification.verifier import Binding, Client, Question, decide
from tests.keys.verification.test_verifier import change_behind_the_back
from tests.people import SYSTEM, World, acting, issued

END = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)


def test_the_windows_are_short_and_follow_from_the_end_alone() -> None:
    spans = brownouts(END, both_since=END - 7 * DAY)
    assert [END - begin for begin, _ in spans] == [24 * HOUR, 6 * HOUR, HOUR, HOUR / 4]
    assert all(30 * SECOND <= end - begin <= 60 * SECOND for begin, end in spans)
    assert all(end < END for _, end in spans)
    for begin, end in spans:
        for at, refused in ((begin - SECOND, False), (begin, True), (end - SECOND, True), (end, False)):
            assert is_browned_out(at, retire_at=END, both_since=END - 7 * DAY) is refused


@pytest.mark.parametrize(("overlap", "count"), [(HOUR / 4, 0), (HOUR, 1), (6 * HOUR, 2), (DAY, 3), (7 * DAY, 4)])
def test_nobody_is_refused_in_the_quarter_of_an_hour_after_the_claim(overlap: timedelta, count: int) -> None:
    assert len(brownouts(END, both_since=END - overlap)) == count


def test_without_an_end_or_another_version_nothing_is_refused() -> None:
    begin = END - WARNINGS[0][0]
    assert not is_browned_out(begin, retire_at=None, both_since=END - 7 * DAY)
    assert not is_browned_out(begin, retire_at=END, both_since=None)


@operation
def _warning_policy(world: World, *, actor: Actor) -> None:
    production = Environment.objects.get(tag="prod")
    rules = rules_of(Policy.objects.current().get(service=world.orders, environment=production))
    add_version(world.orders, production, replace(rules, brownouts=True), actor=actor, at=clock.now())


def _rotated(world: World, overlap: Overlap = Overlap.WEEK) -> tuple[Rotation, Secret, Secret]:
    key, _, old = issued(world)
    rotation = start_rotation(key, overlap=overlap, actor=acting(world.anna, "claim"))
    assert rotation.new_version is not None
    new = claim_secret(rotation.new_version, actor=acting(world.alice, "claim")).secret
    assert new is not None
    return Rotation.objects.get(pk=rotation.pk), old, new


def _at(found: Found, secret: Secret, at: datetime) -> Reason | None:
    binding = Binding(service_id=found.service_id, environment_id=found.environment_id)
    question = Question(client=Client(address="10.0.0.5"))
    return decide(replace(found, at=at), secret, binding=binding, question=question, keyring=keyring())


def _found(version: KeyVersion | None) -> Found:
    assert version is not None
    found = find(version.kid)
    assert found is not None
    return found


@pytest.mark.usefixtures("sealing")
def test_the_old_version_is_refused_and_the_new_one_never(world: World) -> None:
    _warning_policy(world, actor=SYSTEM)
    rotation, old_secret, new_secret = _rotated(world)
    old, new = _found(rotation.old_version), _found(rotation.new_version)
    assert old.fields.retire_at is not None
    for before, _ in WARNINGS:
        begin = old.fields.retire_at - before
        assert _at(old, old_secret, begin - SECOND) is None
        assert _at(old, old_secret, begin) == Reason.ROTATE_NOW
        assert _at(new, new_secret, begin) is None
    assert _at(old, old_secret, old.fields.retire_at) == Reason.RETIRED


@pytest.mark.usefixtures("sealing")
def test_without_the_policy_nothing_is_refused_before_the_end(world: World) -> None:
    rotation, old_secret, _ = _rotated(world)
    old = _found(rotation.old_version)
    assert old.warned_since is None
    assert old.fields.retire_at is not None
    assert _at(old, old_secret, old.fields.retire_at - WARNINGS[0][0]) is None


@pytest.mark.usefixtures("sealing")
@pytest.mark.parametrize("fault", ["state = 'suspended'", "retire_at = now() - interval '1 second'"])
def test_the_last_version_that_works_is_not_refused(
    world: World, superuser: psycopg.Connection[Any], fault: str
) -> None:
    _warning_policy(world, actor=SYSTEM)
    rotation, old_secret, _ = _rotated(world)
    assert _found(rotation.old_version).warned_since is not None
    statement = f"UPDATE keys_keyversion SET {fault} WHERE id = %s"
    change_behind_the_back(superuser, statement, [rotation.new_version_id])
    old = _found(rotation.old_version)
    assert old.warned_since is None
    assert old.fields.retire_at is not None
    assert _at(old, old_secret, old.fields.retire_at - WARNINGS[0][0]) is None


@pytest.mark.usefixtures("sealing")
def test_a_stranger_learns_nothing_of_it_and_a_refusal_is_counted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _warning_policy(world, actor=SYSTEM)
    rotation, old_secret, new_secret = _rotated(world)
    monkeypatch.setattr("keys.verification.verifier.is_browned_out", lambda *_, **__: True)
    old = _found(rotation.old_version)
    assert _at(old, new_secret, clock.now()) == Reason.UNKNOWN
    binding = Binding(service_id=old.service_id, environment_id=old.environment_id)
    assert verify_key(old_secret.reveal(), binding=binding, question=Question()).reason == Reason.ROTATE_NOW
    assert UsageCount.objects.get(version=rotation.old_version).outcome == "rotate_now"
