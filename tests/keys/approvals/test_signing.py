"""A passkey signs exactly one decision about exactly one content, once; and anybody can verify it later from the log."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from audit import clock
from audit.models import AuditEvent
from keys.approvals.content import content_of
from keys.approvals.decisions import Narrowing, approve_request, deny_request, narrow_request, narrowed
from keys.approvals.evidence import SignatureState, signature_state
from keys.approvals.signing import read_signature
from keys.approvals.submission import edit_request
from keys.crypto.assertion import Assertion, verify_challenge
from keys.crypto.statement import challenge_of
from keys.errors import Conflict, Denied, Invalid
from keys.models import Approval, ApprovalStatement, Passkey
from keys.people.webauthn import read_registration
from tests.authenticator import SoftAuthenticator
from tests.authenticator import text as base64url
from tests.passkeys import passkey_of, signed
from tests.people import World, acting, draft, submitted

pytestmark = pytest.mark.django_db


def test_a_signed_approval_needs_no_code_and_verifies_from_the_log_alone(world: World) -> None:
    request, device = submitted(world), passkey_of(world.bob)
    approve_request(
        request, digest=request.digest, actor=acting(world.bob), signature=signed(request, world.bob, device)
    )
    approval = Approval.objects.get()
    assert (approval.method, signature_state(approval)) == ("passkey", SignatureState.VERIFIED)
    # An outsider has two events and the standard: the enrolment with the public key, the decision with the assertion.
    enrolled = AuditEvent.objects.get(action="passkey.enrolled").envelope()["change"]
    given = AuditEvent.objects.get(action="approval.given").envelope()["change"]
    verified = verify_challenge(
        bytes.fromhex(enrolled["public_key"][1].removeprefix("\\x")),
        Assertion.from_json(given["assertion"][1]),
        challenge_of(given["statement"][1].encode()),
        rp_id="localhost",
        origins=["http://localhost:8000"],
    )
    assert verified.algorithm == "ES256"
    said = json.loads(given["statement"][1])
    assert (said["content_digest"]["hex"], said["decision"]) == (request.digest, "approve")


def test_a_signature_serves_once(world: World) -> None:
    request, device = submitted(world), passkey_of(world.bob)
    signature = signed(request, world.bob, device)
    approve_request(request, digest=request.digest, actor=acting(world.bob), signature=signature)
    request = edit_request(request, draft(world), actor=acting(world.alice))
    with pytest.raises(Conflict, match="statement_spent_or_expired"):
        approve_request(request, digest=request.digest, actor=acting(world.bob), signature=signature)


def test_a_signature_for_one_decision_does_not_serve_another(world: World) -> None:
    request, device = submitted(world), passkey_of(world.bob)
    signature = signed(request, world.bob, device, decision="deny")
    with pytest.raises(Conflict, match="statement_does_not_fit"):
        approve_request(request, digest=request.digest, actor=acting(world.bob), signature=signature)
    denied = deny_request(request, digest=request.digest, comment="No.", actor=acting(world.bob), signature=signature)
    assert denied.state == "denied"


def test_a_signature_over_other_content_is_refused(world: World) -> None:
    request, device = submitted(world), passkey_of(world.bob)
    signature = signed(request, world.bob, device, digest="0" * 64)
    with pytest.raises(Conflict, match="statement_does_not_fit"):
        approve_request(request, digest=request.digest, actor=acting(world.bob), signature=signature)


def test_a_narrowing_is_signed_over_the_content_after_it(world: World) -> None:
    request, device = submitted(world, scopes=("orders:read", "orders:write")), passkey_of(world.bob)
    narrowing = Narrowing(scopes=("orders:read",))
    after = narrowed(content_of(request.content), narrowing).digest
    wrong = signed(request, world.bob, device, decision="narrow")
    with pytest.raises(Conflict, match="statement_does_not_fit"):
        narrow_request(request, narrowing, digest=request.digest, actor=acting(world.bob), signature=wrong)
    right = signed(request, world.bob, device, decision="narrow", digest=after)
    narrow_request(request, narrowing, digest=request.digest, actor=acting(world.bob), signature=right)
    assert signature_state(Approval.objects.get()) == SignatureState.VERIFIED


def test_a_copied_passkey_that_signs_a_decision_decides_nothing_and_is_told_of(world: World) -> None:
    request, device = submitted(world), passkey_of(world.bob)
    Passkey.objects.filter(user=world.bob).update(sign_count=50)  # the genuine one is far ahead of the copy
    signature = signed(request, world.bob, device)
    with pytest.raises(Denied, match="passkey_clone_suspected"):
        approve_request(request, digest=request.digest, actor=acting(world.bob), signature=signature)
    assert not Approval.objects.exists()
    suspected = AuditEvent.objects.get(action="passkey.clone-suspected")  # responders are told by it
    assert (suspected.target_id, suspected.actor_id) == (str(Passkey.objects.get().pk), str(world.bob.pk))
    assert AuditEvent.objects.filter(action="access.denied").count() == 1


def test_another_persons_statement_or_passkey_is_refused(world: World) -> None:
    request, device = submitted(world), passkey_of(world.bob)
    signature = signed(request, world.bob, device)
    with pytest.raises(Denied, match="factor_too_new"):  # Carol has no such passkey
        approve_request(request, digest=request.digest, actor=acting(world.carol), signature=signature)
    with pytest.raises(Invalid):
        read_signature(signature.nonce, {}, actor=acting(world.carol))


def test_a_statement_lapses(world: World) -> None:
    request, device = submitted(world), passkey_of(world.bob)
    signature = signed(request, world.bob, device)
    ApprovalStatement.objects.update(expires_at=clock.now() - timedelta(seconds=1))
    with pytest.raises(Conflict, match="statement_spent_or_expired"):
        approve_request(request, digest=request.digest, actor=acting(world.bob), signature=signature)


def test_a_forged_signature_is_refused_and_counts_nothing(world: World) -> None:
    request, device = submitted(world), passkey_of(world.bob)
    thief = SoftAuthenticator()
    thief.credential_id = device.credential_id
    signature = signed(request, world.bob, thief)
    with pytest.raises(Invalid):
        approve_request(request, digest=request.digest, actor=acting(world.bob), signature=signature)
    assert not Approval.objects.exists()


def test_a_passkey_enrolled_after_a_reset_does_not_approve_for_a_day(world: World) -> None:
    request, device = submitted(world), passkey_of(world.bob)
    Passkey.objects.update(approves_from=clock.now() + timedelta(hours=23))
    with pytest.raises(Denied, match="factor_too_new"):
        approve_request(
            request, digest=request.digest, actor=acting(world.bob), signature=signed(request, world.bob, device)
        )
    Passkey.objects.update(approves_from=clock.now())


def test_a_swapped_public_key_does_not_change_what_was_signed(world: World) -> None:
    request, device = submitted(world), passkey_of(world.bob)
    approve_request(
        request, digest=request.digest, actor=acting(world.bob), signature=signed(request, world.bob, device)
    )
    thief = SoftAuthenticator()
    forged = read_registration(thief.create({"challenge": base64url(b"c" * 32)}), b"c" * 32)
    genuine = Passkey.objects.get().public_key
    Passkey.objects.update(public_key=forged.public_key)
    assert signature_state(Approval.objects.get()) == SignatureState.VERIFIED  # the log knows the key that enrolled
    Passkey.objects.update(public_key=genuine)
