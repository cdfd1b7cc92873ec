"""The same races between operating-system processes, as between two machines behind a balancer."""

from collections.abc import Iterator

import pytest

from audit import clock
from audit.models import AuditEvent
from keys.crypto import otp
from keys.lifecycle.claiming import ClaimOutcome
from keys.models import Approval, ManagedKey, TotpDevice
from tests.accounts import joined
from tests.keys.races.processes import Racers
from tests.people import World, approved, issued, submitted

pytestmark = pytest.mark.usefixtures("sealing")


@pytest.fixture(scope="module")
def racers() -> Iterator[Racers]:
    found = Racers()
    yield found
    found.end()


@pytest.mark.parametrize("each", [25, pytest.param(250, marks=pytest.mark.long)])
def test_approvals_from_four_processes_are_two_rows_and_one_key(racers: Racers, world: World, each: int) -> None:
    request = str(submitted(world).pk)
    runs = [("approve", request, who) for who in ("bob", "bob", "carol", "carol")]
    outcomes = racers.race(*runs, calls=each)
    assert outcomes["done"] == 2
    assert outcomes.total() == 4 * each
    assert Approval.objects.filter(request=request).count() == 2
    assert ManagedKey.objects.filter(request=request).count() == 1


def test_fifty_claims_from_five_processes_give_one_secret(racers: Racers, world: World) -> None:
    version = str(approved(world).versions.get().pk)
    outcomes = racers.race(*[("claim", version, "alice")] * 5, calls=10)
    assert outcomes == {str(ClaimOutcome.ISSUED): 1, str(ClaimOutcome.REPEATED): 49}
    assert AuditEvent.objects.filter(action="version.issued").count() == 1


def test_one_code_in_three_processes_proves_once(racers: Racers) -> None:
    dave = joined("dave")
    TotpDevice.objects.update(last_step=None)
    code = otp.code_at(dave.seed, otp.step_at(clock.now()) + 0)
    outcomes = racers.race(*[("prove", code, "dave")] * 3, calls=10)
    assert outcomes["proved"] == 1
    assert outcomes.total() == 30


def test_a_revocation_beats_reinstatements_of_other_processes(racers: Racers, world: World) -> None:
    key, version, _ = issued(world)
    racers.race(
        ("revoke", str(key.pk), "admin"),
        ("reinstate", str(key.pk), "admin2"),
        ("reinstate", str(key.pk), "responder"),
        calls=20,
    )
    key.refresh_from_db()
    version.refresh_from_db()
    assert (key.revoked_at is not None, version.state) == (True, "compromised")
