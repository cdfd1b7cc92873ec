"""Versions follow one another without an outage, end for good, and never outnumber two."""

from datetime import timedelta

import pytest

from keys.errors import Conflict, Denied, Invalid
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.handover import accept_transfer, decline_transfer, offer_transfer, withdraw_transfer
from keys.lifecycle.revocation import reinstate_key, report_leak, revoke_key, suspend_key
from keys.lifecycle.rotation import issue_new_version
from keys.models import KeyVersion, ManagedKey
from keys.states import RevocationReason, SuspensionReason
from keys.verification.reasons import Reason
from keys.verification.verification import verify_key
from keys.verification.verifier import Binding, Question
from tests.people import World, acting, issued

pytestmark = pytest.mark.usefixtures("sealing")


def states(key: ManagedKey) -> list[str]:
    return list(key.versions.order_by("sequence").values_list("state", flat=True))


def reason(key: ManagedKey, text: str) -> Reason | None:
    binding = Binding(service_id=key.service_id, environment_id=key.environment_id)
    return verify_key(text, binding=binding, question=Question()).reason


def replaced(world: World, key: ManagedKey) -> tuple[KeyVersion, str]:
    version = issue_new_version(key, actor=acting(world.alice, "claim"))
    claim = claim_secret(version, actor=acting(world.alice, "claim"))
    assert claim.secret is not None
    return claim.version, claim.secret.reveal()


def test_the_old_version_works_on_for_a_day_after_the_new_one_is_claimed(world: World) -> None:
    key, old, first = issued(world)
    new, second = replaced(world, key)
    old.refresh_from_db()
    assert new.claimed_at is not None
    assert old.retire_at == new.claimed_at + timedelta(hours=24)
    assert (reason(key, first.reveal()), reason(key, second)) == (None, None)


def test_at_most_two_versions_verify_and_a_retirement_is_never_moved_back(world: World) -> None:
    key, _, first = issued(world)
    replaced(world, key)
    third, _ = replaced(world, key)
    assert states(key) == ["deactivated", "active", "active"]
    assert reason(key, first.reveal()) == Reason.RETIRED
    middle = key.versions.get(sequence=2)
    assert third.claimed_at is not None
    assert middle.retire_at == third.claimed_at + timedelta(hours=24)


def test_a_leaked_version_ends_when_its_successor_is_claimed(world: World) -> None:
    key, _, first = issued(world)
    report_leak(key, actor=acting(world.alice))
    assert reason(key, first.reveal()) == Reason.SUSPENDED
    replaced(world, key)
    assert states(key) == ["deactivated", "active"]


def test_a_second_new_version_waits_for_the_first_to_be_claimed(world: World) -> None:
    key, _, _ = issued(world)
    issue_new_version(key, actor=acting(world.alice, "claim"))
    with pytest.raises(Conflict, match="version_waits_for_claim"):
        issue_new_version(key, actor=acting(world.alice, "claim"))


def test_a_revoked_key_gets_no_new_version_no_reinstatement_and_no_new_owner(world: World) -> None:
    key, _, first = issued(world)
    revoke_key(key, actor=acting(world.responder, "revoke"), reason=RevocationReason.KEY_COMPROMISE)
    assert reason(key, first.reveal()) == Reason.COMPROMISED
    with pytest.raises(Conflict, match="key_revoked"):
        issue_new_version(key, actor=acting(world.alice, "claim"))
    with pytest.raises(Conflict, match="key_revoked"):
        reinstate_key(key, actor=acting(world.admin, "reinstate"))
    with pytest.raises(Denied, match="key_revoked"):
        offer_transfer(key, to_team=world.other, actor=acting(world.alice, "handover"))
    with pytest.raises(Conflict, match="already_revoked"):
        revoke_key(key, actor=acting(world.admin, "revoke"), reason=RevocationReason.SUPERSEDED)


def test_in_production_another_person_reinstates(world: World) -> None:
    key, _, first = issued(world)
    suspend_key(key, actor=acting(world.admin, "suspend"), reason=SuspensionReason.INVESTIGATION)
    assert reason(key, first.reveal()) == Reason.SUSPENDED
    with pytest.raises(Denied, match="reinstate_needs_another"):
        reinstate_key(key, actor=acting(world.admin, "reinstate"))
    reinstate_key(key, actor=acting(world.admin2, "reinstate"))
    assert reason(key, first.reveal()) is None


@pytest.mark.parametrize("who", ["mallory", "carol", "auditor"])
def test_strangers_stop_nothing(world: World, who: str) -> None:
    key, _, _ = issued(world)
    for act in (
        lambda actor: suspend_key(key, actor=actor, reason=SuspensionReason.UNUSED),
        lambda actor: revoke_key(key, actor=actor, reason=RevocationReason.SUPERSEDED),
        lambda actor: report_leak(key, actor=actor),
    ):
        with pytest.raises(Denied, match="may_not_stop_key"):
            act(acting(getattr(world, who), "*"))


def test_a_suspension_has_a_known_reason(world: World) -> None:
    key, _, _ = issued(world)
    with pytest.raises(Invalid):
        suspend_key(key, actor=acting(world.alice, "suspend"), reason=SuspensionReason.SECOND_CLAIM)


def test_a_key_changes_hands_when_both_sides_agree(world: World) -> None:
    key, _, _ = issued(world)
    transfer = offer_transfer(key, to_team=world.other, actor=acting(world.alice, "handover"), comment="Yours now.")
    key.refresh_from_db()
    assert key.owner_team == world.reporting
    with pytest.raises(Denied, match="not_lead_of_receiving_team"):
        accept_transfer(transfer, recipient=world.mallory, actor=acting(world.alice, "handover"))
    with pytest.raises(Invalid):
        accept_transfer(transfer, recipient=world.anna, actor=acting(world.mallory, "handover"))
    accept_transfer(transfer, recipient=world.mallory, actor=acting(world.mallory, "handover"))
    key.refresh_from_db()
    assert (key.owner_team, key.recipient) == (world.other, world.mallory)
    with pytest.raises(Denied):
        issue_new_version(key, actor=acting(world.alice, "claim"))


def test_an_offer_is_answered_once(world: World) -> None:
    key, _, _ = issued(world)
    transfer = offer_transfer(key, to_team=world.other, actor=acting(world.alice, "handover"))
    with pytest.raises(Conflict, match="transfer_waiting"):
        offer_transfer(key, to_team=world.security, actor=acting(world.alice, "handover"))
    decline_transfer(transfer, actor=acting(world.mallory, "handover"))
    with pytest.raises(Conflict, match="transfer_not_open"):
        withdraw_transfer(transfer, actor=acting(world.alice, "handover"))
