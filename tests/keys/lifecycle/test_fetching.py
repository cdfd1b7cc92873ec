"""A client fetches its next secret with its old one: each secret once, the old one works on, and a quarrel ends it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from audit import clock
from audit.models import AuditEvent
from keys.crypto.digests import digest
from keys.errors import Conflict, Denied, Invalid, Unavailable
from keys.invariants import breaches
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.emergency import Measure, execute_emergency
from keys.lifecycle.emergency_lists import EmergencyFilter, list_keys
from keys.lifecycle.fetch_facts import see_rotation
from keys.lifecycle.fetching import HandOver, activate_fetched, fetch_next
from keys.lifecycle.revocation import reinstate_key, report_leak, revoke_key, suspend_key
from keys.lifecycle.rotation import issue_new_version, start_rotation, take_back_rotation, undo_rotation
from keys.models import KeyVersion, ManagedKey, Rotation
from keys.states import Overlap, RevocationReason, RotationCause, SuspensionReason
from keys.tasks import rotate
from tests.fetching import INSIDE, NETWORKS, OTHER_TOKEN, OUTSIDE, TOKEN, client_of, due, fetching, let_clients_fetch
from tests.people import World, acting, draft, issued, submitted


def _fetch(key: ManagedKey, version: KeyVersion, token: str = TOKEN, address: str | None = INSIDE) -> HandOver:
    return fetch_next(version, token=token, address=address, actor=client_of(key))


def _activate(key: ManagedKey, version: KeyVersion, address: str | None = INSIDE) -> Rotation:
    return activate_fetched(version, address=address, actor=client_of(key))


def _active(key: ManagedKey) -> list[int]:
    return sorted(key.versions.living(clock.now()).filter(state="active").values_list("sequence", flat=True))  # type: ignore[attr-defined]


def _told(*actions: str) -> list[str]:
    rows = AuditEvent.objects.filter(target_type__in=("version", "rotation")).order_by("id")
    return [action for action in rows.values_list("action", flat=True) if action in actions or not actions]


def test_the_client_fetches_and_activates_and_the_old_version_drains(world: World) -> None:
    key, old, _ = fetching(world)
    rotation = due(world, key)
    handed = _fetch(key, old)
    assert (handed.rotation.state, handed.hand_overs) == ("handed-over", 1)
    fetched = KeyVersion.objects.get(pk=handed.version.pk)
    assert (fetched.state, fetched.activated_at, fetched.claimed_by_id) == ("pre-activation", None, None)
    assert fetched.digest is not None
    assert bytes(fetched.digest) == digest(handed.secret)
    assert _active(key) == [1]
    shown = _activate(key, fetched)
    assert (shown.pk, shown.state) == (rotation.pk, "draining")
    fetched.refresh_from_db()
    old.refresh_from_db()
    assert fetched.expires_at == fetched.activated_at + timedelta(days=30)  # type: ignore[operator]
    assert old.retire_at == fetched.activated_at + timedelta(hours=1)  # type: ignore[operator]
    assert _active(key) == [1, 2]
    assert list(breaches()) == []
    assert _told()[-6:] == [
        "version.issued",
        "rotation.handed-over",
        "version.activated",
        "rotation.activated",
        "version.retirement-set",
        "rotation.drained",
    ]


def test_the_intent_is_on_record_before_the_secret_and_the_outcome_names_it(world: World) -> None:
    key, old, _ = fetching(world)
    due(world, key)
    _fetch(key, old)
    intent = AuditEvent.objects.filter(action="version.claim-intended").latest("id")
    outcome = AuditEvent.objects.filter(action="version.issued").latest("id")
    assert intent.id < outcome.id
    assert outcome.envelope()["correlation"] == str(intent.uid)
    assert (intent.actor_type, intent.actor_id) == ("program", str(key.pk))


def test_nothing_is_handed_over_while_the_log_is_not_sealed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    key, old, _ = fetching(world)
    rotation = due(world, key)
    monkeypatch.setattr("keys.lifecycle.fetching.wait_until_sealed", lambda uids, seconds: False)
    with pytest.raises(Unavailable, match="audit_unsealed"):
        _fetch(key, old)
    rotation.refresh_from_db()
    assert rotation.state == "prepared"
    assert _told("version.claim-failed") == ["version.claim-failed"]


def test_the_same_token_again_burns_the_fetched_version_and_mints_another(world: World) -> None:
    key, old, _ = fetching(world)
    due(world, key)
    first, again = _fetch(key, old), _fetch(key, old)
    assert first.secret.reveal() != again.secret.reveal()
    assert again.hand_overs == 2
    burned = KeyVersion.objects.get(pk=first.version.pk)
    assert (burned.state, burned.ended_reason) == ("deactivated", "handed-over-again")
    with pytest.raises(Conflict, match="nothing_to_activate"):
        _activate(key, burned)
    _activate(key, again.version)
    assert _active(key) == [1, 3]
    assert list(breaches()) == []


def test_a_second_token_stops_the_rotation_and_this_old_version_never_fetches_again(world: World) -> None:
    key, old, _ = fetching(world)
    rotation = due(world, key)
    handed = _fetch(key, old)
    with pytest.raises(Conflict, match="fetched_by_another"):
        _fetch(key, old, OTHER_TOKEN)
    rotation.refresh_from_db()
    assert (rotation.state, rotation.ended_reason) == ("aborted", "second-token")
    contested = AuditEvent.objects.get(action="rotation.contested").envelope()
    assert (contested["severity"], contested["reason"]) == ("high", "second-token")
    with pytest.raises(Conflict, match="nothing_to_activate"):
        _activate(key, handed.version)
    assert _active(key) == [1]
    # It comes back after a day, for a person.
    Rotation.objects.filter(managed_key=key, state="scheduled").update(due_at=clock.now())
    assert rotate() == 1
    for token in (TOKEN, OTHER_TOKEN):
        with pytest.raises(Denied, match="fetch_contested"):
            _fetch(key, old, token)
    waiting = key.rotations.open().get().new_version
    claim_secret(waiting, actor=acting(world.alice, "claim"))
    assert len(_active(key)) == 2


def test_another_token_after_the_activation_is_an_alarm_once_and_changes_nothing(world: World) -> None:
    key, old, _ = fetching(world)
    due(world, key)
    _activate(key, _fetch(key, old).version)
    for _ in range(3):
        with pytest.raises(Conflict, match="already_activated"):
            _fetch(key, old, OTHER_TOKEN)
    assert _told("rotation.contested") == ["rotation.contested"]
    assert _active(key) == [1, 2]
    with pytest.raises(Conflict, match="already_activated"):
        _fetch(key, old)


def test_who_goes_on_with_the_new_secret_and_asks_again_is_no_second_one(world: World) -> None:
    key, old, _ = fetching(world)
    due(world, key)
    new = _fetch(key, old).version
    _activate(key, new)
    with pytest.raises(Conflict, match="already_activated"):
        _fetch(key, KeyVersion.objects.get(pk=new.pk), OTHER_TOKEN)
    assert _told("rotation.contested") == []


def test_an_activation_is_repeated_without_harm(world: World) -> None:
    key, old, _ = fetching(world)
    due(world, key)
    handed = _fetch(key, old)
    assert _activate(key, handed.version).state == _activate(key, handed.version).state == "draining"
    assert _told("version.activated") == ["version.activated"]
    with pytest.raises(Conflict, match="nothing_to_activate"):
        _activate(key, old)


def test_without_a_rotation_that_waits_the_client_is_told_until_when(world: World) -> None:
    key, old, _ = fetching(world)
    with pytest.raises(Conflict, match="rotation_not_due") as refused:
        _fetch(key, old)
    assert refused.value.params["due_at"] == key.rotations.get().due_at
    key, old, _ = issued(world, self_fetch=True, networks=NETWORKS, authorised_days=30)
    with pytest.raises(Conflict, match="no_rotation"):  # what follows is a renewal
        _fetch(key, old)


def test_only_from_the_networks_of_the_key_and_only_as_approved_and_allowed(world: World) -> None:
    key, old, _ = fetching(world)
    due(world, key)
    for address in (OUTSIDE, None):
        with pytest.raises(Denied, match="network_not_allowed"):
            _fetch(key, old, address=address)
        with pytest.raises(Denied, match="network_not_allowed"):
            see_rotation(old, address=address, actor=client_of(key))
    let_clients_fetch(world, allowed=False)
    with pytest.raises(Denied, match="self_fetch_not_allowed"):
        _fetch(key, old)
    let_clients_fetch(world)
    plain, version, _ = issued(world, networks=("10.0.0.0/8",), name="Plain")
    start_rotation(plain, actor=acting(world.anna, "claim"))
    with pytest.raises(Denied, match="self_fetch_not_approved"):
        _fetch(plain, version)
    with pytest.raises(Denied, match="only_this_key_fetches"):
        fetch_next(old, token=TOKEN, address=INSIDE, actor=client_of(plain))
    with pytest.raises(Denied, match="only_this_key_fetches"):
        fetch_next(old, token=TOKEN, address=INSIDE, actor=acting(world.alice, "*"))
    assert AuditEvent.objects.filter(action="access.denied").count() == 6


def test_a_wish_to_fetch_needs_networks_and_the_policy(world: World) -> None:
    with pytest.raises(Invalid) as refused:
        submitted(world, self_fetch=True, networks=("10.0.0.0/8",))
    assert refused.value.fields["self_fetch"][0] == "self_fetch_not_allowed"
    let_clients_fetch(world)
    with pytest.raises(Invalid) as refused:
        submitted(world, self_fetch=True)
    assert refused.value.fields["self_fetch"][0] == "self_fetch_needs_networks"
    assert replace(draft(world), self_fetch=True).self_fetch


@pytest.mark.parametrize("cause", [RotationCause.COMPROMISE, RotationCause.LOST, RotationCause.LEAVER])
def test_what_others_may_know_brings_nothing(world: World, cause: RotationCause) -> None:
    key, old, _ = fetching(world)
    start_rotation(key, cause=cause, actor=acting(world.anna, "claim"))
    with pytest.raises(Denied, match="fetch_by_people_only"):
        _fetch(key, old)
    seen = see_rotation(old, address=INSIDE, actor=client_of(key))
    assert (seen.ready, seen.why_not) == (False, "fetch_by_people_only")


def test_a_suspended_key_neither_fetches_nor_activates_and_goes_on_where_it_was(world: World) -> None:
    key, old, _ = fetching(world)
    due(world, key)
    handed = _fetch(key, old)
    suspend_key(key, actor=acting(world.admin, "suspend"), reason=SuspensionReason.INVESTIGATION)
    with pytest.raises(Conflict):
        _fetch(key, old)
    with pytest.raises(Conflict, match="nothing_to_activate"):
        _activate(key, handed.version)
    assert _active(key) == []
    reinstate_key(key, actor=acting(world.responder, "reinstate"))
    fetched = KeyVersion.objects.get(pk=handed.version.pk)
    assert fetched.state == "pre-activation"  # it never verified, and reinstating does not make it
    _activate(key, fetched)
    assert _active(key) == [1, 2]


def test_a_reported_leak_ends_what_was_fetched_when_it_is_replaced(world: World) -> None:
    key, old, _ = fetching(world)
    due(world, key)
    handed = _fetch(key, old)
    report_leak(key, actor=acting(world.alice))
    version = issue_new_version(key, actor=acting(world.alice, "claim"))
    claim_secret(version, actor=acting(world.alice, "claim"))
    with pytest.raises((Conflict, Denied)):
        _activate(key, handed.version)
    assert _active(key) == [3]


def test_a_revocation_ends_what_was_fetched(world: World) -> None:
    key, old, _ = fetching(world)
    rotation = due(world, key)
    handed = _fetch(key, old)
    revoke_key(key, actor=acting(world.alice, "revoke"), reason=RevocationReason.SUPERSEDED)
    for act in (lambda: _activate(key, handed.version), lambda: _fetch(key, old)):
        with pytest.raises(Denied, match="only_this_key_fetches"):
            act()
    rotation.refresh_from_db()
    assert rotation.state == "aborted"
    assert list(breaches()) == []


def test_an_emergency_ends_what_was_fetched_and_people_claim(world: World) -> None:
    key, old, _ = fetching(world)
    due(world, key)
    handed = _fetch(key, old)
    responder, wanted = acting(world.responder, "revoke"), EmergencyFilter(numbers=(key.number,))
    shown = list_keys(wanted, actor=responder)
    execute_emergency(wanted, measure=Measure.ROTATE, numbers=shown.numbers, digest=shown.digest, actor=responder)
    assert KeyVersion.objects.get(pk=handed.version.pk).state == "deactivated"
    with pytest.raises(Denied, match="fetch_by_people_only"):
        _fetch(key, old)


def test_another_rotation_does_not_begin_while_the_client_holds_the_next_secret(world: World) -> None:
    """It used to end in a broken constraint: a fetched version did not count as living."""
    key, old, _ = fetching(world)
    due(world, key)
    _fetch(key, old)
    for begin in (
        lambda: start_rotation(key, actor=acting(world.anna, "claim")),
        lambda: issue_new_version(key, actor=acting(world.alice, "claim")),
    ):
        with pytest.raises(Conflict, match="version_waits_for_claim"):
            begin()


def test_a_person_takes_back_what_the_client_fetched_and_claims_another(world: World) -> None:
    key, old, _ = fetching(world)
    rotation = due(world, key)
    handed = _fetch(key, old)
    with pytest.raises(Conflict, match="version_fetched"):
        claim_secret(handed.version, actor=acting(world.alice, "claim"))
    assert KeyVersion.objects.get(pk=handed.version.pk).state == "pre-activation"
    with pytest.raises(Denied):
        take_back_rotation(rotation, actor=acting(world.mallory, "claim"))
    rotation = take_back_rotation(rotation, actor=acting(world.anna, "claim"))
    assert (rotation.state, rotation.fetch_token) == ("prepared", "")
    with pytest.raises(Conflict, match="nothing_to_activate"):
        _activate(key, handed.version)
    with pytest.raises(Conflict, match="nothing_to_take_back"):
        take_back_rotation(rotation, actor=acting(world.anna, "claim"))
    assert rotation.new_version is not None
    claim_secret(rotation.new_version, actor=acting(world.alice, "claim"))
    assert _active(key) == [1, 3]


def test_what_was_fetched_and_never_activated_is_made_ready_again(world: World) -> None:
    key, old, _ = fetching(world)
    rotation = due(world, key)
    handed = _fetch(key, old)
    assert handed.version.claim_until <= clock.now() + timedelta(hours=72)
    assert rotate() == 0
    KeyVersion.objects.filter(pk=handed.version.pk).update(claim_until=clock.now() - timedelta(seconds=1))
    assert rotate() == 1
    rotation.refresh_from_db()
    assert (rotation.state, rotation.fetch_token, rotation.handed_over_at) == ("prepared", "", None)
    burned = KeyVersion.objects.get(pk=handed.version.pk)
    assert (burned.state, burned.ended_reason) == ("deactivated", "claim-lapsed")
    assert _active(key) == [1]
    _activate(key, _fetch(key, old, OTHER_TOKEN).version)  # a new beginning: no quarrel
    assert _active(key) == [1, 3]


def test_undo_after_a_fetch_lets_the_old_version_live_on(world: World) -> None:
    key, old, _ = fetching(world)
    rotation = due(world, key)
    _activate(key, _fetch(key, old).version)
    undo_rotation(rotation, actor=acting(world.anna, "claim"))
    assert _active(key) == [1]


def test_the_client_sees_how_its_rotation_stands(world: World) -> None:
    key, old, _ = fetching(world)
    me = client_of(key)

    def seen(version: KeyVersion) -> tuple[str, bool, bool]:
        found = see_rotation(KeyVersion.objects.get(pk=version.pk), address=INSIDE, actor=me)
        return found.rotation.state if found.rotation else "none", found.ready, found.is_current

    assert seen(old) == ("scheduled", False, True)
    due(world, key, Overlap.DAY)
    assert seen(old) == ("prepared", True, True)
    new = _fetch(key, old).version
    assert seen(old) == ("handed-over", True, True)
    assert seen(new) == ("handed-over", False, False)
    _activate(key, new)
    assert seen(old) == ("draining", False, False)
    assert seen(new) == ("draining", False, True)
