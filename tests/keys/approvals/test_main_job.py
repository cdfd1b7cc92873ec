"""A request becomes a key only as the approvers agreed, and the log says so."""

import pytest

from audit.models import AuditEvent
from keys.approvals.decisions import Narrowing, approve_request, deny_request, narrow_request, return_request
from keys.approvals.submission import edit_request, nudge_request, submit_request, withdraw_request
from keys.errors import Conflict, Denied, Invalid
from keys.lifecycle.claiming import ClaimOutcome, claim_secret
from keys.models import Approval, KeyRequest, ManagedKey
from tests.people import World, acting, approved, draft, issued, submitted

pytestmark = pytest.mark.django_db


def actions() -> list[str]:
    return list(AuditEvent.objects.order_by("id").values_list("action", flat=True))


def test_production_needs_two_approvals_one_from_the_services_side(world: World) -> None:
    request = submitted(world)
    assert request.state == "pending"
    request = approve_request(request, digest=request.digest, actor=acting(world.carol, "approve"))
    assert request.state == "pending"
    request = approve_request(request, digest=request.digest, actor=acting(world.bob, "approve"))
    assert request.state == "approved"
    key = ManagedKey.objects.get(request=request)
    assert (key.scopes, key.environment.tag, key.versions.get().state) == (["orders:read"], "prod", "pre-activation")
    assert actions()[-4:] == ["approval.given", "request.approved", "key.created", "version.created"]


def test_two_approvals_from_outside_the_service_are_not_enough(world: World) -> None:
    request = submitted(world)
    approve_request(request, digest=request.digest, actor=acting(world.carol, "approve"))
    with pytest.raises(Denied, match="already_decided"):
        approve_request(request, digest=request.digest, actor=acting(world.carol, "approve"))
    assert not ManagedKey.objects.filter(request=request).exists()


def test_development_needs_no_approval_and_test_needs_one(world: World) -> None:
    assert submitted(world, environment="dev").state == "approved"
    request = submitted(world, environment="test")
    assert request.state == "pending"
    assert approve_request(request, digest=request.digest, actor=acting(world.ben, "approve")).state == "approved"


@pytest.mark.parametrize("who", ["alice", "anna", "mallory", "admin", "responder", "auditor"])
def test_nobody_but_an_approver_approves(world: World, who: str) -> None:
    request = submitted(world)
    with pytest.raises(Denied):
        approve_request(request, digest=request.digest, actor=acting(getattr(world, who), "approve"))
    assert not Approval.objects.exists()
    assert AuditEvent.objects.filter(action="access.denied", actor_id=str(getattr(world, who).pk)).count() == 1


def test_approving_asks_for_a_step_up_for_approving(world: World) -> None:
    request = submitted(world)
    with pytest.raises(Denied, match="step_up_required"):
        approve_request(request, digest=request.digest, actor=acting(world.bob, "claim"))


def test_an_approval_of_other_content_is_refused(world: World) -> None:
    request = submitted(world)
    with pytest.raises(Conflict, match="content_changed"):
        approve_request(request, digest="0" * 64, actor=acting(world.bob, "approve"))


def test_an_edit_voids_approvals(world: World) -> None:
    request = submitted(world)
    approve_request(request, digest=request.digest, actor=acting(world.bob, "approve"))
    edited = edit_request(request, draft(world, scopes=("orders:write",)), actor=acting(world.alice))
    assert edited.digest != request.digest
    assert not Approval.objects.standing().filter(request=request).exists()
    approve_request(edited, digest=edited.digest, actor=acting(world.carol, "approve"))
    edited.refresh_from_db()
    assert edited.state == "pending"


def test_narrowing_is_a_decision_that_counts_and_voids_the_others(world: World) -> None:
    request = submitted(world, scopes=("orders:read", "orders:write"))
    approve_request(request, digest=request.digest, actor=acting(world.carol, "approve"))
    request = narrow_request(
        request, Narrowing(scopes=("orders:read",)), digest=request.digest, actor=acting(world.bob, "approve")
    )
    assert Approval.objects.standing().filter(request=request).count() == 1
    request = approve_request(request, digest=request.digest, actor=acting(world.carol, "approve"))
    assert ManagedKey.objects.get(request=request).scopes == ["orders:read"]


def test_narrowing_never_widens(world: World) -> None:
    request = submitted(world)
    for wide in (
        Narrowing(scopes=("orders:write",)),
        Narrowing(cryptoperiod_days=31),
        Narrowing(networks=()),
        Narrowing(authorised_days=400),
    ):
        with pytest.raises(Invalid):
            narrow_request(request, wide, digest=request.digest, actor=acting(world.bob, "approve"))


def test_denying_and_asking_back_say_why(world: World) -> None:
    request = submitted(world)
    request = return_request(
        request, digest=request.digest, question="Which report?", actor=acting(world.bob, "approve")
    )
    assert (request.state, request.question) == ("returned", "Which report?")
    request = edit_request(request, draft(world), actor=acting(world.alice))
    assert request.state == "pending"
    request = deny_request(request, digest=request.digest, comment="Use the feed.", actor=acting(world.bob, "approve"))
    assert request.state == "denied"
    with pytest.raises(Conflict):
        withdraw_request(request, actor=acting(world.alice))


def test_only_the_requester_withdraws_and_nudges(world: World) -> None:
    request = submitted(world)
    for stranger in (world.anna, world.bob, world.mallory):
        with pytest.raises(Denied, match="not_the_requester"):
            withdraw_request(request, actor=acting(stranger))
    nudge_request(request, actor=acting(world.alice))
    with pytest.raises(Conflict, match="nudged_already"):
        nudge_request(request, actor=acting(world.alice))
    assert withdraw_request(request, actor=acting(world.alice)).state == "withdrawn"


def test_policy_bounds_are_enforced_field_by_field(world: World) -> None:
    with pytest.raises(Invalid) as refused:
        submit_request(draft(world, cryptoperiod_days=3000, authorised_days=3000), actor=acting(world.alice))
    assert set(refused.value.fields) == {"cryptoperiod_days", "authorised_days"}
    assert not KeyRequest.objects.exists()


def test_all_that_is_wrong_is_told_together(world: World) -> None:
    wrong: dict[str, tuple[object, str]] = {
        "recipient": (world.mallory.pk, "not_in_owner_team"),
        "purpose": ("Because.", "too_short"),
        "name": ("", "required"),
        "consumer": ("x" * 121, "too_long"),
        "scopes": (("orders:everything",), "unknown_scope"),
        "networks": (("10.20.0.1/16",), "not_a_network"),
        "cryptoperiod_days": (0, "out_of_range"),
        "authorised_days": (3000, "over_policy_limit"),
        "ticket": ("a\u202eb", "unseen_characters"),
        "limits": ({"requests_per_year": 1}, "unknown_limit"),
        "public_key": ("ssh-ed25519 AAAA", "no_public_key_here"),
        "verifies_service": ("orders", "only_for_verifying_keys"),
    }
    told = {name: code for name, (_, code) in wrong.items()} | {"rotation.overlap": "unknown_overlap"}
    typed = {name: value for name, (value, _) in wrong.items()} | {"overlap": "2h"}
    with pytest.raises(Invalid) as refused:
        submit_request(draft(world, **typed), actor=acting(world.alice))
    assert {name: code for name, (code, _) in refused.value.fields.items()} == told
    with pytest.raises(Invalid) as refused:
        submit_request(draft(world, **typed, owner_team="nobody"), actor=acting(world.alice))
    del told["recipient"]
    assert {name: code for name, (code, _) in refused.value.fields.items()} == told | {"owner_team": "unknown_team"}


def test_mallory_may_not_ask_for_another_team(world: World) -> None:
    with pytest.raises(Invalid):
        submit_request(draft(world), actor=acting(world.mallory))
    with pytest.raises(Denied):
        submit_request(draft(world, recipient=world.alice.pk), actor=acting(world.mallory))


def test_a_secret_is_claimed_once_and_a_stranger_to_the_claim_suspends_it(world: World) -> None:
    _, version, secret = issued(world)
    assert secret.reveal().startswith(f"ks_prod_{version.kid}_")
    again = claim_secret(version, actor=acting(world.alice, "claim"))
    assert (again.outcome, again.secret) == (ClaimOutcome.REPEATED, None)
    other = claim_secret(version, actor=acting(world.alice, "claim", session="s-2"))
    assert (other.outcome, other.secret) == (ClaimOutcome.MISUSED, None)
    version.refresh_from_db()
    assert version.state == "suspended"
    assert "version.claim-repeated" in actions()
    assert actions()[-1] == "version.suspended"


def test_only_the_recipient_claims(world: World) -> None:
    version = approved(world).versions.get()
    for other in (world.anna, world.bob, world.mallory, world.admin):
        with pytest.raises(Denied):
            claim_secret(version, actor=acting(other, "claim"))
