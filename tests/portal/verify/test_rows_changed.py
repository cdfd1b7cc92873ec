"""Rows changed by SQL as somebody who owns the database, before the eyes of a real server that never had a Valkey."""

from __future__ import annotations

import pytest

from audit.actor import Actor
from audit.models import AuditEvent
from keys.verification.watching.integrity import Sweep, sweep_integrity
from tests.keys.verification.following import behind_the_back
from tests.people import issued, verifying_credential
from tests.portal.verify.doors import DOORS, Caller, is_accepted
from tests.portal.verify.storms import VerifyServer, be_patient
from tests.sdk.cookbook import until

pytestmark = pytest.mark.usefixtures("sealing")
CHANGES = {
    "digest": ("keys_keyversion", "digest = sha256('other')"),
    "state": ("keys_keyversion", "state = 'suspended'"),
    "expiry": ("keys_keyversion", "expires_at = expires_at + interval '1 day'"),
    "scopes": ("keys_managedkey", "scopes = scopes || '{orders:write}'"),
    "environment": ("keys_managedkey", "environment_id = (SELECT id FROM keys_environment WHERE tag = 'test')"),
    "networks": ("keys_managedkey", "networks = '{127.0.0.0/8,::/0}'"),
}


def test_a_row_changed_by_sql_verifies_at_no_door_and_is_on_record(world, superuser, tmp_path):
    be_patient(superuser)
    credentials = [verifying_credential(world, environment=tag).reveal() for tag in ("prod", "test")]
    keys = {column: issued(world, name=f"Changed {column}") for column in CHANGES}
    texts = {column: secret.reveal() for column, (_, _, secret) in keys.items()}
    nowhere = {"REDIS_URL": "redis://127.0.0.1:1/0"}
    with VerifyServer(tmp_path, **nowhere) as server, Caller(server.port) as caller:

        def accepted(text):
            return {name for name, door in DOORS.items() for who in credentials if is_accepted(caller.ask(door(who, text)))}  # fmt: skip

        assert {column: accepted(text) for column, text in texts.items()} == {column: set(DOORS) for column in CHANGES}
        for column, (table, change) in CHANGES.items():
            key, version, _ = keys[column]
            pk = version.pk if table == "keys_keyversion" else key.pk
            behind_the_back(superuser, f"UPDATE {table} SET {change} WHERE id = %s", pk)
        until(lambda: not any(map(accepted, texts.values())), seconds=60)
    assert sweep_integrity(Sweep(), actor=Actor.job("check_integrity")) == len(CHANGES)
    told = AuditEvent.objects.with_action("version.integrity-failed").values_list("target_id", flat=True)
    assert set(told) == {str(version.pk) for _, version, _ in keys.values()}
