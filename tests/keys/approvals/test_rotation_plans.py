"""How the secrets of a key are replaced is asked with it, approved with it, and then followed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from keys.approvals.content import content_of
from keys.approvals.decisions import Narrowing, approve_request, narrow_request
from keys.approvals.submission import request_renewal
from keys.errors import Invalid
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.rotation import start_rotation
from keys.models import ManagedKey
from tests.fetching import NETWORKS, let_clients_fetch
from tests.people import World, acting, approved, issued, submitted

pytestmark = pytest.mark.django_db


def test_the_approved_plan_is_in_the_digest_and_the_key_follows_it(world: World) -> None:
    usual, quick = submitted(world), submitted(world, overlap="1h", every_days=7)
    assert (usual.content["rotation"], quick.content["rotation"]) == (None, {"overlap": "1h", "every_days": 7})
    assert content_of({**quick.content, "rotation": None}).digest != quick.digest
    key, version, _ = issued(world, overlap="1h", every_days=7)
    rotation = key.rotations.get()
    assert version.activated_at is not None
    assert (rotation.overlap, rotation.due_at) == ("1h", version.activated_at + timedelta(days=7))
    rotation = start_rotation(key, actor=acting(world.alice, "claim"))
    assert rotation.new_version is not None
    new = claim_secret(rotation.new_version, actor=acting(world.alice, "claim")).version
    version.refresh_from_db()
    assert new.activated_at is not None
    assert version.retire_at == new.activated_at + timedelta(hours=1)


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"overlap": "2h"}, "rotation.overlap"),
        ({"overlap": "7d"}, "rotation.overlap"),
        ({"every_days": 0}, "rotation.every_days"),
        ({"every_days": 30}, "rotation.every_days"),
    ],
)
def test_what_the_policy_does_not_let_be_is_refused(world: World, wish: dict[str, object], field: str) -> None:
    let_clients_fetch(world, longest_overlap_hours=24)
    with pytest.raises(Invalid) as refused:
        submitted(world, **wish)
    assert list(refused.value.fields) == [field]


def test_a_policy_that_became_stricter_bounds_what_nobody_chose(world: World) -> None:
    let_clients_fetch(world, longest_overlap_hours=6)
    key, version, _ = issued(world)
    rotation = start_rotation(key, actor=acting(world.alice, "claim"))
    assert rotation.new_version is not None
    new = claim_secret(rotation.new_version, actor=acting(world.alice, "claim")).version
    version.refresh_from_db()
    assert new.activated_at is not None
    assert version.retire_at == new.activated_at + timedelta(hours=6)


def test_narrowing_takes_the_fetching_away_and_never_gives_it(world: World) -> None:
    let_clients_fetch(world)
    asked = submitted(world, self_fetch=True, networks=NETWORKS, overlap="1h", every_days=7)
    bob, carol = acting(world.bob, "approve"), acting(world.carol, "approve")
    asked = narrow_request(asked, Narrowing(self_fetch=False), digest=asked.digest, actor=bob)
    assert asked.content["rotation"] == {"overlap": "1h", "every_days": 7}
    with pytest.raises(Invalid) as refused:
        narrow_request(asked, Narrowing(self_fetch=True), digest=asked.digest, actor=carol)
    assert refused.value.fields == {"self_fetch": ("not_narrower", {})}
    approve_request(asked, digest=asked.digest, actor=carol)
    assert not ManagedKey.objects.get(request=asked).self_fetch


def test_a_narrowed_life_drops_an_interval_that_is_never_reached(world: World) -> None:
    asked = submitted(world, overlap="1h", every_days=7)
    bob = acting(world.bob, "approve")
    asked = narrow_request(asked, Narrowing(cryptoperiod_days=7), digest=asked.digest, actor=bob)
    assert asked.content["rotation"] == {"overlap": "1h", "every_days": None}


def test_a_renewal_keeps_the_plan_and_who_takes_the_next_secrets(world: World) -> None:
    let_clients_fetch(world)
    key = approved(world, self_fetch=True, networks=NETWORKS, overlap="1h", every_days=7)
    renewal = request_renewal(key, authorised_days=200, purpose="The reports go on.", actor=acting(world.alice))
    assert (renewal.content["rotation"], renewal.content["self_fetch"]) == ({"overlap": "1h", "every_days": 7}, True)
    with pytest.raises(Invalid) as refused:
        narrow_request(renewal, Narrowing(self_fetch=False), digest=renewal.digest, actor=acting(world.bob, "approve"))
    assert refused.value.fields == {"scopes": ("renewals_keep_scopes", {})}
