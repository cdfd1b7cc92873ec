"""Changes are not kept for ever: whoever was away for longer is told nothing of what may be incomplete, and reads everything."""

from __future__ import annotations

from datetime import timedelta

import pytest

from audit import clock
from keys.models import Environment, KeyVersion, VerificationChange
from keys.verification.memory import lease
from keys.verification.programs.renewing import LOST, Asked, Changes, register, renew_clients
from keys.verification.programs.sharing import position_in
from keys.verification.verifier import Binding
from keys.verification.watching.forgetting import forget_verifying
from tests.people import issued, verifying_credential
from tests.portal.verify.bells import revoke

pytestmark = pytest.mark.usefixtures("sealing")
DAY = timedelta(days=1)


@pytest.fixture
def asked(world):
    """What a program asks that stands where it all began."""
    own = KeyVersion.objects.get(kid=verifying_credential(world).reveal().split("_")[2]).managed_key_id
    binding = Binding(service_id=world.orders.pk, environment_id=Environment.objects.get(tag="prod").pk)
    holder = register("a laptop", credential=own, binding=binding)
    assert holder is not None
    past, place = lease.history()
    return Asked(verifier=holder.id, credential=own, applied=position_in(place, past))


def nightly(superuser, *, days: int) -> None:
    """So many days go by, and each night what is old is deleted."""
    for _ in range(days):
        superuser.execute("UPDATE keys_verificationchange SET at = at - interval '1 day'")
        forget_verifying(before=clock.now() - DAY)


def test_a_program_that_was_away_while_a_stop_was_forgotten_gets_no_lease(world, asked, superuser):
    first, second = (issued(world, name=name)[0] for name in ("First", "Second"))
    revoke(world, first)
    nightly(superuser, days=1)
    revoke(world, second)
    nightly(superuser, days=2)
    assert VerificationChange.objects.exclude(managed_key=second).count() == 0, "nothing was forgotten"
    assert renew_clients([asked]) == [LOST]


def test_who_has_seen_all_that_is_so_old_is_told_the_rest(world, asked, superuser):
    issued(world)
    nightly(superuser, days=3)
    past, place = lease.history()
    key = issued(world)[0]
    (told,) = renew_clients(
        [Asked(verifier=asked.verifier, credential=asked.credential, applied=position_in(place, past))]
    )
    assert isinstance(told, Changes)
    assert [change["key_id"] for change in told.changes] == [str(key.pk)]
