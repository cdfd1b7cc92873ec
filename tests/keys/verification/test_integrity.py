"""Rows changed behind the operations' back come on record, once."""

import pytest

from audit import clock
from audit.actor import Actor
from audit.models import AuditEvent
from keys.lifecycle.renewal import renew_key
from keys.lifecycle.revocation import reinstate_key, revoke_key, suspend_key
from keys.models import KeyVersion
from keys.operations import operation
from keys.states import RevocationReason
from keys.verification.integrity import find_integrity_failures, sweep_integrity
from keys.verification.reasons import Reason
from tests.keys.verification.test_verifier import ask, change_behind_the_back
from tests.people import acting, issued

pytestmark = pytest.mark.usefixtures("sealing")
SWEEP = Actor.job("sweep-integrity")


def test_a_sound_table_gives_no_alert(world):
    issued(world)
    assert find_integrity_failures() == []
    assert sweep_integrity(actor=SWEEP) == 0


def test_a_changed_row_is_recorded_once(world, superuser):
    _key, version, _ = issued(world)
    change_behind_the_back(superuser, "UPDATE keys_managedkey SET scopes = '{orders:write}'")
    assert [each.pk for each in find_integrity_failures()] == [version.pk]
    assert sweep_integrity(actor=SWEEP) == 1
    assert sweep_integrity(actor=SWEEP) == 0
    event = AuditEvent.objects.with_action("version.integrity-failed").get()
    assert (event.target_id, event.actor_id, event.environment) == (str(version.pk), "sweep-integrity", "prod")


def test_an_earlier_valid_row_put_back_is_found_against_its_last_event(world, superuser):
    key, version, _ = issued(world)
    before = KeyVersion.objects.values("state", "row_mac", "suspended_reason").get(pk=version.pk)
    suspend_key(key, actor=acting(world.alice, "suspend"), reason="investigation")
    change_behind_the_back(
        superuser, "UPDATE keys_keyversion SET state = %s, row_mac = %s", [before["state"], before["row_mac"]]
    )
    assert sweep_integrity(actor=SWEEP) == 1


def test_no_operation_makes_a_changed_row_sound_again(world, superuser):
    """Suspending and reinstating, or renewing, must not put a fresh MAC under forged scopes."""
    key, version, secret = issued(world)
    change_behind_the_back(superuser, "UPDATE keys_managedkey SET scopes = scopes || '{orders:write}'")
    suspend_key(key, actor=acting(world.alice, "suspend"), reason="investigation")
    reinstate_key(key, actor=acting(world.admin, "reinstate"))
    assert ask(world, secret.reveal()) == Reason.INTEGRITY_FAILURE
    extend(key)
    assert ask(world, secret.reveal()) == Reason.INTEGRITY_FAILURE
    revoke_key(key, actor=acting(world.alice, "revoke"), reason=RevocationReason.KEY_COMPROMISE)
    version.refresh_from_db()
    assert version.state == "compromised"
    assert ask(world, secret.reveal()) == Reason.INTEGRITY_FAILURE


def test_a_renewed_key_stays_sound(world):
    key, _, secret = issued(world)
    extend(key)
    assert ask(world, secret.reveal()) is None
    assert find_integrity_failures() == []


@operation
def renew(key, *, actor):
    key.refresh_from_db()
    renew_key(
        key,
        request=key.request,
        opens=(tuple(key.scopes), tuple(key.networks)),
        cryptoperiod_days=key.cryptoperiod_days,
        authorised_days=200,
        actor=actor,
        at=clock.now(),
    )


def extend(key):
    renew(key, actor=Actor.system("tests"))
