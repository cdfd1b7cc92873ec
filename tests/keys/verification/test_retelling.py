"""A change that somebody deleted is written again: who stood still just then would accept for ever what was stopped."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from audit.actor import Actor
from keys.lifecycle.revocation import reinstate_key, revoke_key, suspend_key
from keys.models import ManagedKey, VerificationChange
from keys.operations import operation
from keys.states import RevocationReason
from keys.verification.reasons import Reason
from keys.verification.watching.retelling import AWAY, Retelling
from tests.keys.verification.following import following, said
from tests.people import World, acting, issued

pytestmark = pytest.mark.usefixtures("sealing")


@operation
def within(key: ManagedKey, *, actor: Actor) -> ManagedKey:
    """An operation in another: behind its savepoint, what it writes bears another number than the transaction's."""
    return reinstate_key(key, actor=actor)


def changes(key: ManagedKey) -> int:
    return VerificationChange.objects.filter(managed_key=key).count()


def delete_changes(superuser: psycopg.Connection[Any], key: ManagedKey) -> None:
    superuser.execute("DELETE FROM keys_verificationchange WHERE managed_key_id = %s", [key.pk])


def test_a_revocation_whose_change_was_deleted_reaches_a_verifier_that_stood_still(
    world: World, superuser: psycopg.Connection[Any]
) -> None:
    retelling = Retelling()
    retelling.tell_again()
    key, _, secret = issued(world)
    feed = following()
    assert said(feed, world, secret) is None
    revoke_key(key, actor=acting(world.alice, "revoke"), reason=RevocationReason.SUPERSEDED)
    delete_changes(superuser, key)
    feed.tick()
    assert said(feed, world, secret) is None, "it cannot know"
    with capture_logs() as lines:
        assert retelling.tell_again() == 1
    assert [each["event"] for each in lines if each["log_level"] == "error"] == ["changes were deleted"]
    feed.tick()
    assert said(feed, world, secret) == Reason.REVOKED
    assert retelling.tell_again() == 0, "once is enough"


def test_what_is_told_is_not_told_again(world: World, superuser: psycopg.Connection[Any]) -> None:
    retelling = Retelling()
    retelling.tell_again()
    key, _, _ = issued(world)
    suspend_key(key, actor=acting(world.alice, "suspend"), reason="investigation")
    within(key, actor=acting(world.admin, "reinstate"))
    told = changes(key)
    assert told
    assert retelling.tell_again() == 0
    assert changes(key) == told
    # Of several changes the last one tells everything: those before are nobody's loss.
    superuser.execute(
        "DELETE FROM keys_verificationchange WHERE managed_key_id = %s AND id <> (SELECT max(id)"
        " FROM keys_verificationchange WHERE managed_key_id = %s)",
        [key.pk, key.pk],
    )
    assert retelling.tell_again() == 0


def test_it_is_noticed_as_long_as_a_verifier_may_have_stood_still(
    world: World, superuser: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = [1000.0]
    monkeypatch.setattr("keys.verification.watching.retelling.time.monotonic", lambda: at[0])
    retelling = Retelling()
    retelling.tell_again()
    key, _, _ = issued(world)
    for _ in range(3):
        at[0] += AWAY / 4
        assert retelling.tell_again() == 0
    delete_changes(superuser, key)
    assert retelling.tell_again() == 1, "written nine hours ago"
    delete_changes(superuser, key)
    for _ in range(5):
        at[0] += AWAY / 4
        retelling.tell_again()
    delete_changes(superuser, key)
    assert retelling.tell_again() == 0, "whoever was away for so long reads everything"
    assert len(retelling._looks) == 7, "one a look, and the last of before"


def test_one_that_begins_to_look_asks_for_nothing_of_before(world: World, superuser: psycopg.Connection[Any]) -> None:
    key, _, _ = issued(world)
    delete_changes(superuser, key)
    assert Retelling().tell_again() == 0
