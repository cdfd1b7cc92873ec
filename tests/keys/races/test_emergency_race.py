"""An act over many keys beside single acts on the same keys: nobody waits crosswise, and everything is dead afterwards."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.emergency.population import Owners, make_keys
from keys.lifecycle.emergency import Measure, execute_emergency
from keys.lifecycle.emergency_lists import EmergencyFilter, list_keys
from keys.lifecycle.revocation import report_leak, revoke_key, suspend_key
from keys.lifecycle.rotation import start_rotation
from keys.models import KeyVersion, ManagedKey, Rotation
from keys.states import RevocationReason, SuspensionReason
from tests.people import SYSTEM, World, acting
from tests.races import at_once


def test_emergencies_and_single_acts_at_once_end_every_key(sealing: object, world: World) -> None:
    owners = Owners(team=world.reporting, recipient=world.alice, service=world.orders, scopes=("orders:read",))
    keys = [key for key, _ in make_keys(owners, count=40, actor=SYSTEM)]
    wanted = EmergencyFilter(team="reporting")

    def emergency(person: object, measure: Measure) -> Callable[[], object]:
        actor = acting(person, "revoke")  # type: ignore[arg-type]  # a person of the world
        shown = list_keys(wanted, actor=actor)
        return lambda: execute_emergency(
            wanted, numbers=shown.numbers, digest=shown.digest, measure=measure, actor=actor
        )

    alice = acting(world.alice, "suspend", "revoke", "claim")
    single: list[Callable[[], object]] = []
    for place, key in enumerate(keys):
        acts: list[Callable[[], object]] = [
            lambda key=key: suspend_key(key, actor=alice, reason=SuspensionReason.INVESTIGATION),  # type: ignore[misc]
            lambda key=key: start_rotation(key, actor=alice),  # type: ignore[misc]
            lambda key=key: report_leak(key, actor=alice),  # type: ignore[misc]
            lambda key=key: revoke_key(key, actor=alice, reason=RevocationReason.SUPERSEDED),  # type: ignore[misc]
        ]
        single.append(acts[place % 4])
    many = [emergency(world.responder, Measure.ROTATE), emergency(world.admin, Measure.REVOKE)]
    outcomes = at_once(*many, *single, *many, workers=8)
    assert "busy_retry" not in outcomes, outcomes  # a deadlock is answered so
    assert outcomes.total() == 44
    assert not ManagedKey.objects.filter(pk__in=[key.pk for key in keys], revoked_at=None).exists()
    living = ("pre-activation", "active", "suspended")
    assert not KeyVersion.objects.filter(managed_key__in=keys, state__in=living).exists()
    assert not Rotation.objects.open().filter(managed_key__in=keys).exists()
