"""One act stops many keys, or has all their secrets replaced: the confirmed list, each key on record, nothing left out unsaid."""

from __future__ import annotations

from typing import Any

import pytest

from audit.models import AuditEvent
from benchmarks.emergency.population import Owners, make_keys
from keys.errors import Conflict, Denied, Invalid
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.emergency import Measure, execute_emergency
from keys.lifecycle.emergency_lists import EmergencyFilter, digest_of, list_keys
from keys.lifecycle.revocation import report_leak, revoke_key, suspend_key
from keys.lifecycle.rotation import start_rotation
from keys.models import KeyVersion, ManagedKey, Rotation
from keys.sealing import mac_holds
from keys.states import RevocationReason, SuspensionReason
from tests.people import SYSTEM, World, acting, approved, issued

pytestmark = pytest.mark.django_db
REPORTING = EmergencyFilter(team="reporting")


def many(world: World, count: int) -> list[tuple[ManagedKey, str]]:
    owners = Owners(team=world.reporting, recipient=world.alice, service=world.orders, scopes=("orders:read",))
    return make_keys(owners, count=count, actor=SYSTEM)


def execute(
    world: World, wanted: EmergencyFilter = REPORTING, *, measure: Measure = Measure.REVOKE, **changed: Any
) -> str:
    actor = acting(world.responder, "revoke")
    shown = list_keys(wanted, actor=actor)
    given: dict[str, Any] = {"numbers": shown.numbers, "digest": shown.digest, "actor": actor} | changed
    return str(execute_emergency(wanted, measure=measure, **given))


def told(act: str) -> list[dict[str, Any]]:
    events = AuditEvent.objects.order_by("id")
    return [each.envelope() for each in events if each.envelope()["correlation"] == act]


def test_sixty_keys_of_a_team_are_dead_and_each_is_on_record(world: World) -> None:
    other, _, _ = issued(world)
    keys = many(world, 60)
    act = execute(world)
    versions = KeyVersion.objects.select_related("managed_key__environment", "managed_key__service")
    for version in versions.filter(managed_key__owner_team=world.reporting):
        assert version.state == "compromised"
        assert version.managed_key.revoked_reason == "key-compromise"
        assert mac_holds(version)
    assert not Rotation.objects.open().exists()
    by_action: dict[str, list[str]] = {}
    for each in told(act):
        by_action.setdefault(each["action"], []).append(each["target"]["id"])
    assert set(by_action["key.revoked"]) == {str(key.pk) for key, _ in keys} | {str(other.pk)}
    assert len(by_action["version.compromised"]) == 61
    assert len(by_action["rotation.aborted"]) == 61
    facts = next(each for each in told(act) if each["action"] == "emergency.executed")["details"]
    assert (facts["listed"], facts["stopped"], facts["appeared"]) == (61, 61, 0)
    assert facts["searched"] == {"team": "reporting"}
    assert facts["digest"] == digest_of(ManagedKey.objects.values_list("number", flat=True))


def test_all_rotating_keeps_them_working_until_somebody_has_the_next_secret(world: World) -> None:
    many(world, 3)
    draining, _, _ = issued(world)
    start_rotation(draining, actor=acting(world.alice, "claim"))
    act = execute(world, measure=Measure.ROTATE)
    for key in ManagedKey.objects.all():
        rotation = Rotation.objects.open().get(managed_key=key)
        assert (rotation.state, rotation.cause, rotation.overlap) == ("prepared", "compromise", "now")
        states = list(key.versions.order_by("sequence").values_list("state", flat=True))
        assert states[0] == "active"
        assert states[-1] == "pre-activation"
        claim = claim_secret(key.versions.get(state="pre-activation"), actor=acting(world.alice, "claim"))
        assert claim.secret is not None
        assert claim.version.activated_at is not None
        assert not KeyVersion.objects.living(claim.version.activated_at).filter(managed_key=key, sequence=1).exists()
    assert {each["action"] for each in told(act)} >= {"rotation.prepared", "version.created", "rotation.aborted"}


def test_what_cannot_rotate_says_why(world: World) -> None:
    suspended, _, _ = issued(world)
    suspend_key(suspended, actor=acting(world.alice, "suspend"), reason=SuspensionReason.INVESTIGATION)
    waiting = approved(world)
    many(world, 1)
    first = execute(world, measure=Measure.ROTATE)
    again = execute(world, measure=Measure.ROTATE)
    passed = {each["target"]["id"]: each["reason"] for each in told(first) if each["action"] == "key.passed-over"}
    assert passed == {str(suspended.pk): "key-suspended", str(waiting.pk): "nothing-works"}
    assert "already-rotating" in {each["reason"] for each in told(again)}
    assert KeyVersion.objects.filter(state="pre-activation").count() == 2


def test_a_key_that_appeared_after_the_list_is_told_and_one_that_ended_too(world: World) -> None:
    (first, _), (second, _) = many(world, 2)
    actor = acting(world.responder, "revoke")
    shown = list_keys(REPORTING, actor=actor)
    revoke_key(second, actor=acting(world.alice, "revoke"), reason=RevocationReason.SUPERSEDED)
    third, _, _ = issued(world)
    act = execute(world, numbers=shown.numbers, digest=shown.digest)
    passed = {each["target"]["id"]: each["reason"] for each in told(act) if each["action"] == "key.passed-over"}
    assert passed == {str(second.pk): "already-ended", str(third.pk): "appeared-meanwhile"}
    first.refresh_from_db()
    third.refresh_from_db()
    assert first.revoked_at is not None
    assert third.revoked_at is None


def test_only_the_list_that_was_shown_is_taken(world: World) -> None:
    (key, _), _ = many(world, 2)
    with pytest.raises(Conflict, match="list_differs"):
        execute(world, numbers=[key.number])
    with pytest.raises(Invalid):
        execute(world, numbers=[], digest=digest_of([]))
    with pytest.raises(Invalid):
        execute(world, numbers=[key.number, 999_999], digest=digest_of([key.number, 999_999]))
    with pytest.raises(Invalid):
        list_keys(EmergencyFilter(), actor=acting(world.responder))


@pytest.mark.parametrize("who", ["alice", "auditor", "mallory"])
def test_those_who_do_not_answer_for_all_are_refused_on_record(world: World, who: str) -> None:
    (key, _) = many(world, 1)[0]
    with pytest.raises(Denied):
        execute(
            world, numbers=[key.number], digest=digest_of([key.number]), actor=acting(getattr(world, who), "revoke")
        )
    with pytest.raises(Denied):
        execute(world, numbers=[key.number], digest=digest_of([key.number]), actor=acting(world.responder))
    key.refresh_from_db()
    assert key.revoked_at is None
    assert AuditEvent.objects.filter(action="access.denied").count() == 2


def test_keys_are_found_by_whatever_an_incident_is_about(world: World) -> None:
    (mine, _), (leaked, _), (other, _) = many(world, 3)
    report_leak(leaked, actor=acting(world.alice))
    suspend_key(mine, actor=acting(world.alice, "suspend"), reason=SuspensionReason.INVESTIGATION)
    report_leak(mine, actor=acting(world.anna))
    actor = acting(world.responder)

    def found(**wanted: Any) -> set[int]:
        return set(list_keys(EmergencyFilter(**wanted), actor=actor).numbers)

    everything = {mine.number, leaked.number, other.number}
    assert found(leaked=True) == {mine.number, leaked.number}
    assert found(recipient=world.alice.pk) == found(service="orders", environment="prod") == everything
    assert found(environment="dev") == found(recipient=world.bob.pk) == set()
    assert found(numbers=(other.number, 7)) == {other.number}


def test_a_row_that_was_forged_is_stopped_and_not_made_sound(world: World) -> None:
    (key, _) = many(world, 1)[0]
    KeyVersion.objects.filter(managed_key=key).update(row_mac="hmac-sha256:nobody:" + 64 * "0")
    execute(world)
    version = KeyVersion.objects.select_related("managed_key__environment").get(managed_key=key)
    assert version.state == "compromised"
    assert not mac_holds(version)
