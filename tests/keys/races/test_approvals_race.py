"""Many at once on real connections: one winner, and never a key without its quorum."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from audit import clock
from audit.actor import Actor
from audit.models import AuditEvent
from keys.approvals.decisions import approve_request
from keys.approvals.quorum import progress_of, rules_for
from keys.approvals.submission import edit_request, withdraw_request
from keys.lifecycle.claiming import ClaimOutcome, claim_secret
from keys.lifecycle.revocation import reinstate_key, report_leak, revoke_key, suspend_key
from keys.models import Approval, KeyRequest, ManagedKey, Membership
from keys.people.teams import change_member_roles
from keys.states import RevocationReason, SuspensionReason
from tests.people import SYSTEM, World, acting, approved, draft, issued, submitted
from tests.races import at_once


@pytest.mark.parametrize("each", [100, pytest.param(500, marks=pytest.mark.long)])
def test_many_approvals_by_two_people_are_two_rows_and_one_key(sealing: object, world: World, each: int) -> None:
    request = submitted(world)
    bob, carol = acting(world.bob, "approve"), acting(world.carol, "approve")
    calls = [
        lambda who=who: approve_request(request, digest=request.digest, actor=who)
        for who in (bob, carol)
        for _ in range(each)
    ]
    outcomes = at_once(*calls, workers=20)
    assert outcomes["done"] == 2
    assert Approval.objects.filter(request=request).count() == 2
    assert ManagedKey.objects.filter(request=request).count() == 1
    assert AuditEvent.objects.filter(action="key.created").count() == 1


@pytest.mark.parametrize("interference", ["edit", "withdraw", "loss-of-role"])
def test_a_key_exists_only_if_the_quorum_held_at_commit(sealing: object, world: World, interference: str) -> None:
    for _ in range(8):
        request = submitted(world)

        def meddle(request: KeyRequest = request) -> object:
            if interference == "edit":
                return edit_request(request, draft(world, scopes=("orders:write",)), actor=acting(world.alice))
            if interference == "withdraw":
                return withdraw_request(request, actor=acting(world.alice))
            membership = Membership.objects.get(person=world.bob, team=world.orders_team)
            return change_member_roles(membership, roles=["developer"], actor=SYSTEM)

        def approve(who: Actor, request: KeyRequest = request) -> Callable[[], object]:
            return lambda: approve_request(request, digest=request.digest, actor=who)

        at_once(approve(acting(world.bob, "approve")), approve(acting(world.carol, "approve")), meddle)
        request.refresh_from_db()
        keys = ManagedKey.objects.filter(request=request).count()
        assert keys == (request.state == "approved")
        if keys and interference == "edit":
            assert ManagedKey.objects.get(request=request).scopes == ["orders:read"]
        if keys and interference == "loss-of-role":
            # The role was lost after the key was created, or the key would not be.
            lost = AuditEvent.objects.filter(action="membership.roles-changed").order_by("-id").first()
            made = AuditEvent.objects.filter(action="key.created").order_by("-id").first()
            assert lost is None or made is None or made.recorded_at < lost.recorded_at
        if not keys:
            progress = progress_of(request, rules_for(request), at=clock.now())
            assert not (progress.is_complete and request.state == "pending")
        if interference == "loss-of-role":
            membership = Membership.objects.get(person=world.bob, team=world.orders_team)
            if "approver" not in membership.roles:
                change_member_roles(membership, roles=["developer", "approver", "lead"], actor=SYSTEM)


def test_fifty_claims_give_one_secret(sealing: object, world: World) -> None:
    version = approved(world).versions.get()
    alice = acting(world.alice, "claim")
    outcomes = at_once(*[lambda: claim_secret(version, actor=alice) for _ in range(50)])
    assert outcomes[ClaimOutcome.ISSUED] == 1
    # On a slow machine the last in the queue may give up on the lock after its 3 s; nobody may get a second secret.
    assert outcomes[ClaimOutcome.REPEATED] + outcomes["busy_retry"] == 49
    assert AuditEvent.objects.filter(action="version.issued").count() == 1


def test_fifty_claims_from_two_sessions_end_with_a_suspended_version(sealing: object, world: World) -> None:
    version = approved(world).versions.get()
    here, there = acting(world.alice, "claim"), acting(world.alice, "claim", session="elsewhere")
    outcomes = at_once(*[lambda who=who: claim_secret(version, actor=who) for who in (here, there) for _ in range(25)])
    version.refresh_from_db()
    assert outcomes[ClaimOutcome.ISSUED] == 1
    assert version.state == "suspended"


def test_a_revocation_is_never_undone_by_whatever_runs_beside_it(sealing: object, world: World) -> None:
    for _ in range(5):
        key, version, _ = issued(world)
        admin, responder = acting(world.admin, "*"), acting(world.responder, "*")
        outcomes = at_once(
            lambda key=key, admin=admin: revoke_key(key, actor=admin, reason=RevocationReason.KEY_COMPROMISE),
            *[
                lambda key=key, responder=responder: suspend_key(
                    key, actor=responder, reason=SuspensionReason.INVESTIGATION
                )
                for _ in range(6)
            ],
            *[lambda key=key, admin=admin: reinstate_key(key, actor=admin) for _ in range(6)],
            *[lambda key=key, responder=responder: report_leak(key, actor=responder) for _ in range(3)],
            *[lambda version=version: claim_secret(version, actor=acting(world.alice, "claim")) for _ in range(3)],
        )
        key.refresh_from_db()
        version.refresh_from_db()
        assert key.revoked_at is not None
        assert version.state == "compromised"
        assert outcomes.total() == 19


def test_fifty_revocations_are_one(sealing: object, world: World) -> None:
    key, _, _ = issued(world)
    admin = acting(world.admin, "*")
    calls = [lambda: revoke_key(key, actor=admin, reason=RevocationReason.SUPERSEDED) for _ in range(50)]
    assert at_once(*calls) == {"done": 1, "already_revoked": 49}
