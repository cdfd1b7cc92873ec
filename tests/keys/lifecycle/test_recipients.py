"""Who receives a key's secrets is somebody other than those who approved it, prolong it, or name the receiver from outside."""

from __future__ import annotations

from datetime import timedelta

import pytest

from audit import clock
from audit.models import AuditEvent
from keys.approvals.decisions import approve_request
from keys.approvals.quorum import possible_approvers, rules_for
from keys.approvals.submission import request_renewal
from keys.errors import Conflict, Denied, Invalid
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.emergency import Measure, execute_emergency
from keys.lifecycle.emergency_lists import EmergencyFilter, list_keys
from keys.lifecycle.handover import accept_transfer, offer_transfer
from keys.lifecycle.leaving import name_recipient
from keys.lifecycle.rotation import abort_rotation, issue_new_version, undo_rotation
from keys.models import ManagedKey, Membership, Rotation
from keys.people.delegates import name_delegate
from keys.people.teams import add_member, change_member_roles
from tests.people import World, acting, issued, submitted

pytestmark = pytest.mark.django_db


def test_whoever_knows_a_secret_does_not_approve_its_renewal(world: World) -> None:
    key, _, _ = issued(world)  # Alice knows the secret that works
    name_recipient(key, recipient=world.anna, actor=acting(world.alice, "handover"))
    add_member(world.security, person=world.alice, roles=["approver"], actor=acting(world.admin, "people"))
    renewal = request_renewal(key, authorised_days=300, purpose="Another year of it.", actor=acting(world.anna))
    with pytest.raises(Denied, match="approver_is_beneficiary"):
        approve_request(renewal, digest=renewal.digest, actor=acting(world.alice, "approve"))
    named = possible_approvers(renewal, rules_for(renewal))["named"]
    assert [person.pk for person in named] == [world.carol.pk]
    with pytest.raises(Denied):
        approve_request(renewal, digest=renewal.digest, actor=acting(world.mallory, "approve"))
    approve_request(renewal, digest=renewal.digest, actor=acting(world.bob, "approve"))
    renewal = approve_request(renewal, digest=renewal.digest, actor=acting(world.carol, "approve"))
    assert renewal.state == "approved"


@pytest.mark.parametrize("way", ["named", "handed over"])
def test_whose_seat_approved_a_key_never_holds_it(world: World, way: str) -> None:
    """Carol approved from Bob's place, so it is his approval too; another colleague may receive the key."""
    at = clock.now()
    name_delegate(
        world.bob, actor=acting(world.bob, "people"), delegate=world.carol, starts_at=at, ends_at=at + timedelta(days=1)
    )
    request = submitted(world)
    approve_request(request, digest=request.digest, actor=acting(world.carol, "approve"))  # from Bob's seat
    approve_request(request, digest=request.digest, actor=acting(world.ben, "approve"))
    key = ManagedKey.objects.get(request=request)
    if way == "named":
        add_member(world.reporting, person=world.bob, roles=["developer"], actor=acting(world.admin, "people"))
        with pytest.raises(Invalid) as refused:
            name_recipient(key, recipient=world.bob, actor=acting(world.alice, "handover"))
        name_recipient(key, recipient=world.anna, actor=acting(world.alice, "handover"))
    else:
        transfer = offer_transfer(key, to_team=world.orders_team, actor=acting(world.alice, "handover"))
        with pytest.raises(Invalid) as refused:
            accept_transfer(transfer, recipient=world.bob, actor=acting(world.bob, "handover"))
    assert refused.value.fields["recipient"][0] == "recipient_approved"


def test_an_administrator_alone_does_not_come_by_a_teams_secret(world: World) -> None:
    """Who joins a team by their own hand and names themselves would hold a production key that nobody approved for them."""
    key, _, _ = issued(world)
    add_member(world.reporting, person=world.admin, roles=["developer"], actor=acting(world.admin, "people"))
    with pytest.raises(Denied, match="recipient_needs_another"):
        name_recipient(key, recipient=world.admin, rotate=True, actor=acting(world.admin, "handover"))
    with pytest.raises(Denied, match="may_not_name_recipient"):
        name_recipient(key, recipient=world.mallory, actor=acting(world.mallory, "handover"))
    key.refresh_from_db()
    assert key.recipient_id == world.alice.pk
    assert AuditEvent.objects.filter(action="access.denied").count() == 2
    name_recipient(key, recipient=world.anna, actor=acting(world.admin, "handover"))  # a colleague: after a leaver
    name_recipient(key, recipient=world.alice, actor=acting(world.alice, "handover"))  # a lead answers for the team
    add_member(world.reporting, person=world.admin2, roles=["developer"], actor=acting(world.admin, "people"))
    place = Membership.objects.get(team=world.reporting, person=world.admin2)
    change_member_roles(place, roles=["developer", "lead"], actor=acting(world.admin, "people"))
    name_recipient(key, recipient=world.admin2, actor=acting(world.admin2, "handover"))  # made a lead by another


def test_whoever_was_passed_over_does_not_bring_their_secret_back(world: World) -> None:
    key, version, _ = issued(world)  # Alice knows it, and stays in the team
    name_recipient(key, recipient=world.anna, rotate=True, actor=acting(world.admin, "handover"))
    claim_secret(key.versions.order_by("-sequence")[0], actor=acting(world.anna, "claim"))
    rotation = Rotation.objects.open().get(managed_key=key)
    with pytest.raises(Denied, match="may_not_rotate"):
        undo_rotation(rotation, actor=acting(world.mallory, "claim"))
    with pytest.raises(Conflict, match="compromised_stays_ended"):
        undo_rotation(rotation, actor=acting(world.alice, "claim"))
    version.refresh_from_db()
    assert version.retire_at is not None
    start_again = issue_new_version(key, actor=acting(world.anna, "claim"))  # where the new one does not work
    assert start_again.state == "pre-activation"


def test_whoever_was_passed_over_does_not_stop_the_replacement_either(world: World) -> None:
    """Stopped, the old secret works on, and whoever knows it keeps the key; a lead who knows it is no exception."""
    key, _, _ = issued(world)  # Alice leads the team, and knows the secret that works
    name_recipient(key, recipient=world.anna, rotate=True, actor=acting(world.admin, "handover"))
    rotation = Rotation.objects.open().get(managed_key=key)
    for person, code in (
        (world.alice, "knows_the_old_secret"),
        (world.anna, "may_not_stop_replacement"),
        (world.bob, "may_not_stop_replacement"),
        (world.mallory, "may_not_stop_replacement"),
    ):
        with pytest.raises(Denied, match=code):
            abort_rotation(rotation, actor=acting(person, "claim"))
    assert AuditEvent.objects.filter(action="access.denied").count() == 4
    assert Rotation.objects.open().get(managed_key=key).state == "prepared"
    abort_rotation(rotation, actor=acting(world.responder, "claim"))
    assert key.rotations.get(pk=rotation.pk).state == "aborted"


def test_an_emergency_is_stopped_by_those_who_answer_for_the_key_and_not_by_any_member(world: World) -> None:
    key, _, _ = issued(world)
    place = Membership.objects.get(team=world.reporting, person=world.anna)
    responder = acting(world.responder, "revoke")
    shown = list_keys(EmergencyFilter(numbers=(key.number,)), actor=responder)
    execute_emergency(
        EmergencyFilter(numbers=(key.number,)),
        measure=Measure.ROTATE,
        numbers=shown.numbers,
        digest=shown.digest,
        actor=responder,
    )
    rotation = Rotation.objects.open().get(managed_key=key)
    for person in (world.alice, world.anna, world.mallory):
        with pytest.raises(Denied):
            abort_rotation(rotation, actor=acting(person, "claim"))
    change_member_roles(place, roles=["developer", "lead"], actor=acting(world.admin, "people"))
    abort_rotation(rotation, actor=acting(world.anna, "claim"))  # a lead now, who was never shown the secret
    assert key.rotations.get(pk=rotation.pk).state == "aborted"
