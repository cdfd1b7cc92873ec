"""What a key was used for is read at once, however many versions it has, and no more of each than was asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from audit import clock
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.rotation import start_rotation
from keys.models import Sighting, UsageCount
from keys.monitoring.usage import counts_of, sightings_of
from keys.states import Overlap
from tests.people import World, acting, issued

pytestmark = pytest.mark.django_db


def test_each_version_has_its_latest_counts_and_sightings(world: World, django_assert_num_queries: Any) -> None:
    key, old, _ = issued(world)
    rotation = start_rotation(key, overlap=Overlap.DAY, actor=acting(world.anna, "claim"))
    assert rotation.new_version is not None
    claim_secret(rotation.new_version, actor=acting(world.alice, "claim"))
    at = clock.now().replace(minute=0, second=0, microsecond=0)
    for version in (old, rotation.new_version):
        for back in range(4):
            then = at - timedelta(hours=back)
            UsageCount.objects.create(version=version, outcome="valid", hour=then, count=back, last_at=then)
            Sighting.objects.create(version=version, instance=f"i{back}", first_at=then, last_at=then, count=1)
    with django_assert_num_queries(1):
        counts = counts_of(key, since=at - timedelta(hours=2), most=2)
    assert [(each.version.sequence, each.count) for each in counts] == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert len(counts_of(key, since=at - timedelta(hours=2), most=9)) == 6
    with django_assert_num_queries(1):
        sightings = sightings_of(key, most=3)
    assert [(each.version.sequence, each.instance) for each in sightings] == [
        (sequence, instance) for sequence in (1, 2) for instance in ("i0", "i1", "i2")
    ]
