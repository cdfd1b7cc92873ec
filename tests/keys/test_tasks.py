"""What the clock has ended is written down by jobs that may run late, twice, or never."""

from typing import Any

import psycopg
import pytest

from audit.models import AuditEvent
from keys.approvals.decisions import approve_request
from keys.errors import Denied
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.revocation import revoke_key
from keys.models import KeyRequest, KeyVersion
from keys.sealing import mac_of
from keys.states import RevocationReason
from keys.tasks import SCHEDULE, check_integrity, end_what_is_over, forget
from portal.celery import app
from tests.people import World, acting, approved, issued, submitted

Superuser = psycopg.Connection[tuple[Any, ...]]


def age(superuser: Superuser, statement: str) -> None:
    """Move rows back in time as nobody but a superuser can; a version's row MAC is then fitted again."""
    for table in ("keys_keyversion", "keys_keyrequest"):
        superuser.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    superuser.execute(statement)
    for version in KeyVersion.objects.select_related("managed_key__environment"):
        superuser.execute("UPDATE keys_keyversion SET row_mac = %s WHERE id = %s", [mac_of(version), version.pk])
    superuser.execute("ALTER TABLE keys_keyversion ENABLE TRIGGER USER")


def test_every_wake_names_a_task() -> None:
    assert set(SCHEDULE) <= set(app.tasks)


def test_an_expired_version_is_written_down_once(sealing: object, world: World, superuser: Superuser) -> None:
    _, version, _ = issued(world)
    assert end_what_is_over() == 0
    age(superuser, "UPDATE keys_keyversion SET expires_at = clock_timestamp() - interval '1 second'")
    assert end_what_is_over() == 1
    assert end_what_is_over() == 0
    version.refresh_from_db()
    assert (version.state, version.ended_reason) == ("deactivated", "expired")
    assert AuditEvent.objects.filter(action="version.deactivated").count() == 1


def test_an_unclaimed_version_lapses_by_the_clock(sealing: object, world: World, superuser: Superuser) -> None:
    version = approved(world).versions.get()
    age(superuser, "UPDATE keys_keyversion SET claim_until = clock_timestamp() - interval '1 second'")
    with pytest.raises(Exception, match="claim_lapsed"):
        claim_secret(version, actor=acting(world.alice, "claim"))
    assert end_what_is_over() == 1
    version.refresh_from_db()
    assert (version.state, version.ended_reason) == ("deactivated", "claim-lapsed")


def test_a_lapsed_request_takes_no_approval_even_before_the_job_ran(
    sealing: object, world: World, superuser: Superuser
) -> None:
    request = submitted(world)
    age(superuser, "UPDATE keys_keyrequest SET lapses_at = clock_timestamp() - interval '1 second'")
    with pytest.raises(Denied, match="request_lapsed"):
        approve_request(request, digest=request.digest, actor=acting(world.bob, "approve"))
    assert end_what_is_over() == 1
    assert KeyRequest.objects.get().state == "lapsed"


def test_a_row_changed_by_sql_is_put_on_record_once(sealing: object, world: World, superuser: Superuser) -> None:
    issued(world)
    assert check_integrity() == 0
    superuser.execute("ALTER TABLE keys_keyversion DISABLE TRIGGER USER")
    superuser.execute("UPDATE keys_keyversion SET expires_at = expires_at + interval '1 day'")
    assert check_integrity() == 1
    assert check_integrity() == 0
    assert AuditEvent.objects.filter(action="version.integrity-failed").count() == 1


def test_an_earlier_row_put_back_is_found_against_its_last_event(
    sealing: object, world: World, superuser: Superuser
) -> None:
    key, version, _ = issued(world)
    columns = "state, row_mac, ended_at, ended_reason"
    before = superuser.execute(f"SELECT {columns} FROM keys_keyversion WHERE id = %s", [version.pk]).fetchone()
    assert before is not None
    revoke_key(key, actor=acting(world.alice, "revoke"), reason=RevocationReason.SUPERSEDED)
    superuser.execute("ALTER TABLE keys_keyversion DISABLE TRIGGER USER")
    superuser.execute(
        "UPDATE keys_keyversion SET state = %s, row_mac = %s, ended_at = %s, ended_reason = %s WHERE id = %s",
        [*before, version.pk],
    )
    assert check_integrity() == 1


def test_forgetting_leaves_the_living_alone(sealing: object, world: World) -> None:
    issued(world)
    assert forget() == 0
