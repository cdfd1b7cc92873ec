"""What was approved is what is issued, whatever changed between the asking and the last approval."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from audit import clock
from audit.actor import Actor, ActorKind
from audit.models import AuditEvent
from keys.approvals.decisions import Narrowing, approve_request, narrow_request
from keys.approvals.quorum import progress_of, rules_for
from keys.approvals.signing import prepare_statement
from keys.approvals.submission import request_renewal, submit_request
from keys.catalogue.policies import current_policy, rules_of, set_policy
from keys.catalogue.services import change_service, plan_scope_retirement, plan_service_retirement
from keys.errors import Conflict, Denied, Invalid
from keys.invariants import breaches
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.handover import accept_transfer, offer_transfer
from keys.lifecycle.revocation import reinstate_key, report_leak, suspend_key
from keys.lifecycle.rotation import issue_new_version
from keys.models import Delegation, Environment, KeyRequest, ManagedKey, Membership, Scope
from keys.people.delegates import end_delegation, name_delegate
from keys.people.teams import add_member, end_membership
from keys.states import SuspensionReason
from keys.tasks import check_integrity, end_what_is_over
from tests.people import SYSTEM, World, acting, approved, draft, issued, submitted
from tests.portal.api.stage import make_program

pytestmark = pytest.mark.usefixtures("sealing")


def agree(request: KeyRequest, *people: object) -> KeyRequest:
    for person in people:
        request.refresh_from_db()
        request = approve_request(request, digest=request.digest, actor=acting(person, "approve"))  # type: ignore[arg-type]
    return request


@pytest.mark.parametrize("what", ["service", "scope"])
def test_nothing_is_issued_for_what_is_being_retired(world: World, what: str) -> None:
    request = submitted(world)
    until = clock.now() + timedelta(days=2)
    if what == "service":
        plan_service_retirement(world.orders, retires_at=until, actor=acting(world.admin, "catalogue"))
    else:
        scope = Scope.objects.get(service=world.orders, name="orders:read")
        plan_scope_retirement(scope, retires_at=until, actor=acting(world.admin, "catalogue"))
    with pytest.raises(Conflict, match="service_retiring"):
        agree(request, world.bob, world.carol)
    assert not ManagedKey.objects.exists()


def test_a_renewal_does_not_follow_a_key_to_another_team(world: World) -> None:
    key, _, _ = issued(world)
    renewal = request_renewal(key, authorised_days=300, purpose="Another year of it.", actor=acting(world.alice))
    transfer = offer_transfer(key, to_team=world.other, actor=acting(world.alice, "handover"))
    accept_transfer(transfer, recipient=world.mallory, actor=acting(world.mallory, "handover"))
    with pytest.raises(Conflict, match="renewal_out_of_date"):
        agree(renewal, world.bob, world.carol)


def test_a_narrowed_renewal_is_what_the_key_becomes(world: World) -> None:
    key, _, _ = issued(world)
    renewal = request_renewal(key, authorised_days=300, purpose="Another year of it.", actor=acting(world.alice))
    renewal = narrow_request(
        renewal, Narrowing(cryptoperiod_days=5), digest=renewal.digest, actor=acting(world.bob, "approve")
    )
    agree(renewal, world.carol)
    key.refresh_from_db()
    assert key.cryptoperiod_days == 5
    with pytest.raises(Invalid):
        request_renewal(key, authorised_days=10, purpose="This would shorten it.", actor=acting(world.alice))


def test_renewing_and_shortening_leave_every_version_sound(world: World) -> None:
    key, _, _ = issued(world)
    for _ in range(2):
        claim_secret(issue_new_version(key, actor=acting(world.alice, "claim")), actor=acting(world.alice, "claim"))
    renewal = request_renewal(key, authorised_days=300, purpose="Another year of it.", actor=acting(world.alice))
    agree(renewal, world.bob, world.carol)
    scope = Scope.objects.get(service=world.orders, name="orders:read")
    plan_scope_retirement(scope, retires_at=clock.now() + timedelta(days=3), actor=acting(world.admin, "catalogue"))
    assert check_integrity() == 0
    assert list(breaches()) == []


def test_what_a_responder_stopped_is_not_replaced_by_its_recipient(world: World) -> None:
    key, version, _ = issued(world)
    suspend_key(key, actor=acting(world.responder, "suspend"), reason=SuspensionReason.INVESTIGATION)
    report_leak(key, actor=acting(world.alice))
    version.refresh_from_db()
    assert version.suspended_reason == "investigation"
    with pytest.raises(Conflict, match="key_suspended"):
        issue_new_version(key, actor=acting(world.alice, "claim"))
    with pytest.raises(Denied, match="reinstate_needs_another"):  # she reported the leak
        reinstate_key(key, actor=acting(world.alice, "reinstate"))


def test_a_suspended_unclaimed_key_waits_for_its_reinstatement(world: World) -> None:
    key = approved(world)
    suspend_key(key, actor=acting(world.responder, "suspend"), reason=SuspensionReason.INVESTIGATION)
    assert end_what_is_over() == 0
    with pytest.raises(Conflict, match="key_suspended"):
        issue_new_version(key, actor=acting(world.alice, "claim"))
    reinstate_key(key, actor=acting(world.admin, "reinstate"))
    assert claim_secret(key.versions.get(), actor=acting(world.alice, "claim")).secret is not None


def test_who_holds_a_programs_key_does_not_approve_what_it_asks_for(world: World) -> None:
    add_member(world.reporting, person=world.ben, roles=["developer"], actor=SYSTEM)
    program, _ = make_program(world.reporting, world.ben)
    actor = Actor(kind=ActorKind.PROGRAM, id=str(program.pk))
    request = submit_request(draft(world, recipient=world.alice.pk), actor=actor)
    with pytest.raises(Denied, match="approver_is_requester"):
        approve_request(request, digest=request.digest, actor=acting(world.ben, "approve"))
    assert not KeyRequest.objects.awaiting(world.ben.pk, [world.ben.pk], clock.now()).exists()
    agree(request, world.bob, world.carol)


def test_one_administrator_does_not_swap_who_approves_production(world: World) -> None:
    issued(world)
    with pytest.raises(Invalid) as refused:
        change_service(
            world.orders, name="Orders", description="", owner_team=world.other, actor=acting(world.admin, "catalogue")
        )
    assert refused.value.fields["owner_team"][0] == "service_in_use"


def test_an_approver_never_receives_the_key_later(world: World) -> None:
    key, _, _ = issued(world)
    transfer = offer_transfer(key, to_team=world.orders_team, actor=acting(world.alice, "handover"))
    with pytest.raises(Invalid) as refused:
        accept_transfer(transfer, recipient=world.bob, actor=acting(world.bob, "handover"))
    assert refused.value.fields["recipient"][0] == "recipient_approved"


def test_production_never_goes_without_approval(world: World) -> None:
    production = Environment.objects.get(tag="prod")
    policy = current_policy(world.orders, production)
    assert policy is not None
    rules = replace(rules_of(policy), approvals_required=0, service_approvals_required=0)
    with pytest.raises(Invalid):
        set_policy(
            world.orders,
            environment=production,
            rules=rules,
            base_version=policy.version,
            actor=acting(world.admin, "policy"),
        )


def test_keysteads_own_service_is_opened_by_nobody_alone(world: World) -> None:
    with pytest.raises(Invalid) as refused:
        submit_request(
            draft(world, service="keystead", environment="dev", scopes=("audit:read",)), actor=acting(world.alice)
        )
    assert refused.value.fields["service"][0] == "not_enough_approvers"


def test_who_may_not_decide_gets_no_statement_to_sign(world: World) -> None:
    request = submitted(world)
    for stranger in (world.anna, world.mallory, world.alice):
        with pytest.raises(Denied):
            prepare_statement(request, decision="approve", digest=request.digest, actor=acting(stranger))
    with pytest.raises(Denied):  # and learns nothing from a narrowing that would not fit
        narrow_request(request, Narrowing(scopes=("x",)), digest="0" * 64, actor=acting(world.anna, "approve"))


def test_a_recipient_who_left_receives_nothing(world: World) -> None:
    request = submitted(world)
    membership = Membership.objects.get(person=world.alice, team=world.reporting)
    end_membership(membership, actor=acting(world.admin, "people"))
    with pytest.raises(Conflict, match="recipient_left"):
        agree(request, world.bob, world.carol)


def in_bobs_place(world: World) -> Delegation:
    """Carol decides for Bob today."""
    at = clock.now()
    return name_delegate(
        world.bob, delegate=world.carol, actor=acting(world.bob, "people"), starts_at=at, ends_at=at + timedelta(days=1)
    )


@pytest.mark.parametrize("who", ["bob", "carol"])
def test_what_a_delegate_approved_keeps_nobody_from_approving_when_that_is_over(world: World, who: str) -> None:
    """It does not count any more, so whose seat it was decides, or the delegate from their own."""
    delegation = in_bobs_place(world)
    request = agree(submitted(world), world.carol)
    approval = request.approvals.get()
    assert (approval.person, approval.seat) == (world.carol, world.bob)
    for person, code in (
        (world.bob, "already_decided"),
        (world.carol, "already_decided"),
        (world.mallory, "not_an_app"),
    ):
        with pytest.raises(Denied, match=code):
            agree(request, person)
    end_delegation(delegation, actor=acting(world.bob))
    at = clock.now()
    assert progress_of(request, rules_for(request), at=at).given == 0
    person = getattr(world, who)
    assert request in KeyRequest.objects.awaiting(person.pk, [person.pk], at)
    agree(request, person)
    assert progress_of(request, rules_for(request), at=clock.now()).given == 1
    approval.refresh_from_db()
    assert approval.voided_at is not None
    assert AuditEvent.objects.filter(action="approval.voided").count() == 1
    with pytest.raises(Denied, match="already_decided"):
        agree(request, person)
    with pytest.raises(Denied, match="not_an_approver"):
        agree(request, world.mallory)
    agree(request, world.ben)
    key = ManagedKey.objects.get()
    assert set(key.request.approvals.standing().values_list("person_id", flat=True)) == {person.pk, world.ben.pk}  # type: ignore[union-attr]
    assert not list(breaches())


def test_an_approval_from_a_seat_without_its_role_keeps_the_delegate_from_nothing(world: World) -> None:
    in_bobs_place(world)
    request = agree(submitted(world), world.carol)
    end_membership(
        Membership.objects.get(team=world.orders_team, person=world.bob), actor=acting(world.admin, "people")
    )
    agree(request, world.carol, world.ben)  # from her own seat now
    assert ManagedKey.objects.filter(request=request).exists()


def test_a_delegation_that_goes_on_keeps_the_seat_taken(world: World) -> None:
    in_bobs_place(world)
    request = agree(submitted(world), world.carol)
    with pytest.raises(Denied, match="already_decided"):
        agree(request, world.bob)
    assert request.approvals.standing().count() == 1
