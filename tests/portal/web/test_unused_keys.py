"""Keys that nobody uses are a list, from which they can be revoked."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.test import Client

from audit import clock
from keys.catalogue.policies import add_version, rules_of
from keys.models import Environment, ManagedKey, Policy, UsageCount
from tests.people import SYSTEM, World, issued
from tests.portal.doorway import signed_in


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    now = clock.now()
    monkeypatch.setattr("portal.web.keys.clock", SimpleNamespace(now=lambda: now + timedelta(days=25)))


def test_owners_filter_for_what_nobody_uses(world: World, late: None) -> None:
    production = Environment.objects.get(tag="prod")
    rules = rules_of(Policy.objects.current().get(service=world.orders, environment=production))
    add_version(world.orders, production, replace(rules, unused_days=20), actor=SYSTEM, at=clock.now())
    _, version, _ = issued(world, name="Used key")
    issued(world, name="Forgotten key")
    at = clock.now() + timedelta(days=10)
    UsageCount.objects.create(version=version, outcome="valid", hour=at, count=1, last_at=at)
    page = signed_in(world.alice).get("/keys/?state=unused").content.decode()
    assert ManagedKey.objects.count() == 2
    assert "Forgotten key" in page
    assert "Used key" not in page


def test_others_find_none_of_them_and_strangers_sign_in(world: World, late: None) -> None:
    issued(world, name="Forgotten key")
    assert "Forgotten key" not in signed_in(world.mallory).get("/keys/?state=unused").content.decode()
    assert Client().get("/?state=unused").status_code == 302
