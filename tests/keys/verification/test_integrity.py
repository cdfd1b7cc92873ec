"""Rows changed behind the operations' back come on record, once."""

import pytest

from audit.actor import Actor
from audit.models import AuditEvent
from keys.lifecycle.revocation import suspend_key
from keys.models import KeyVersion
from keys.verification.integrity import find_integrity_failures, sweep_integrity
from tests.keys.verification.test_verifier import change_behind_the_back
from tests.people import acting, issued

pytestmark = pytest.mark.usefixtures("committed_db")
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
