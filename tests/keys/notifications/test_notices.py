"""Everybody concerned is told, once, and nobody else."""

from datetime import timedelta

import pytest
from django.core import mail
from django.urls import reverse

from audit import clock
from audit.actor import Actor
from audit.events import catalogue
from keys.approvals.decisions import approve_request, deny_request
from keys.approvals.submission import nudge_request
from keys.crypto import otp
from keys.dispatch.cursor import lag_of, read_all
from keys.errors import Denied
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.leaving import name_recipient
from keys.models import DispatchCursor, Notice, Session
from keys.notifications.mail import send_waiting
from keys.notifications.reactions import READER, WHO, notice_everyone
from keys.notifications.sayings import SAYINGS
from keys.notifications.words import EVERYTHING_SAID, words_for
from keys.people.delegates import name_delegate
from keys.people.factors import confirm_totp, enrol_totp, remove_factor, seed_of
from keys.people.proofs import prove_recovery_code
from keys.people.recovery_codes import make_recovery_codes
from keys.people.session_ends import end_session, refuse_put_back
from tests.devices import answered, begun, polled, token_of
from tests.passkeys import passkey_of
from tests.people import World, acting, issued, submitted
from tests.sealers import SealingThread


def told(kind: str) -> set[str]:
    return set(Notice.objects.filter(kind=kind).values_list("person__name", flat=True))


def react(sealing: SealingThread) -> int:
    sealing.settle()
    return read_all(READER, (notice_everyone,))


def test_every_reaction_names_an_event_and_has_words() -> None:
    assert set(WHO) <= set(catalogue())
    assert set(WHO) == set(SAYINGS)


def test_approvers_hear_of_a_request_and_the_requester_of_decisions(sealing: SealingThread, world: World) -> None:
    request = submitted(world)
    react(sealing)
    assert told("request.submitted") == {"Bob", "Ben", "Carol"}
    approve_request(request, digest=request.digest, actor=acting(world.bob, "approve"))
    nudge_request(request, actor=acting(world.alice))
    react(sealing)
    assert told("request.nudged") == {"Ben", "Carol"}
    deny_request(request, digest=request.digest, comment="Not now.", actor=acting(world.carol, "approve"))
    react(sealing)
    assert told("request.denied") == {"Alice"}
    assert lag_of(READER).leaves == 0


def test_a_second_claim_alarms_everyone_concerned(sealing: SealingThread, world: World) -> None:
    _, version, _ = issued(world)
    claim_secret(version, actor=acting(world.alice, "claim", session="elsewhere"))
    react(sealing)
    assert told("version.suspended") == {"Alice", "Anna", "Bob", "Responder", "Admin", "Admin2"}


def test_reading_the_log_again_tells_nobody_twice(sealing: SealingThread, world: World) -> None:
    submitted(world)
    react(sealing)
    before = Notice.objects.count()
    assert before
    DispatchCursor.objects.all().delete()
    react(sealing)
    assert Notice.objects.count() == before


def test_mail_has_one_recipient_one_action_and_a_constant_id(sealing: SealingThread, world: World) -> None:
    submitted(world)
    react(sealing)
    waiting = Notice.objects.unsent().count()
    assert send_waiting() == waiting
    assert send_waiting() == 0
    assert len({message.extra_headers["Message-ID"] for message in mail.outbox}) == waiting
    assert all(len(message.to) == 1 and message.body.count("http") == 1 for message in mail.outbox)


def test_every_saying_can_be_said(sealing: SealingThread, world: World) -> None:
    request = submitted(world)
    for kind in EVERYTHING_SAID:
        notice = Notice(kind=kind, subject_type="request", subject_id=str(request.pk), params={}, person=world.alice)
        words = words_for(notice)
        assert words.subject
        assert "{" not in words.subject + words.sentence


def test_whoever_was_signed_in_is_told_when_a_code_was_used_twice_and_all_who_look_after_it_when_a_session_is_back(
    sealing: SealingThread, world: World
) -> None:
    asking = begun()
    answered(world.alice, asking)
    for _ in range(3):
        polled(asking["device_code"])
    react(sealing)
    assert told("device-sign-in.reused") == {"Alice"}
    notice = Notice.objects.get(kind="device-sign-in.reused")  # one, however often the code comes
    assert words_for(notice).path == "/account/sessions/"
    token_of(world.alice)
    before = Session.objects.get(kind="device")
    end_session(before, actor=acting(world.alice))
    before.save(force_insert=True)
    refuse_put_back(before, actor=Actor.system("tests"))
    react(sealing)
    assert told("session.refused") == {"Alice", "Responder", "Admin", "Admin2"}


def test_people_are_told_when_how_they_sign_in_or_who_decides_for_them_changes(
    sealing: SealingThread, world: World
) -> None:
    """A thief with an open session adds a factor and waits a day until it decides: its owner must hear of it before that."""
    alice, mallory = acting(world.alice, "factors"), acting(world.mallory, "factors", "people")
    passkey_of(world.alice)
    react(sealing)
    assert not Notice.objects.exists()  # the first one came with the invitation
    device = enrol_totp(world.alice, actor=alice, name="Phone")
    device = confirm_totp(device, actor=alice, code=otp.code_at(seed_of(device), otp.step_at(clock.now())))
    react(sealing)
    assert told("totp.enrolled") == {"Alice"}
    make_recovery_codes(world.alice, actor=alice)
    react(sealing)
    assert told("recovery-codes.made") == set()
    (code, *_others) = make_recovery_codes(world.alice, actor=alice)
    prove_recovery_code(world.alice, actor=acting(world.alice), code=code.reveal())
    remove_factor(device, actor=alice)
    with pytest.raises(Denied):
        enrol_totp(world.alice, actor=mallory, name="Not theirs")
    at = clock.now()
    name_delegate(world.mallory, actor=mallory, delegate=world.bob, starts_at=at, ends_at=at + timedelta(days=1))
    react(sealing)
    for kind in ("recovery-codes.made", "recovery-codes.used", "totp.removed"):
        assert told(kind) == {"Alice"}
        assert words_for(Notice.objects.get(kind=kind)).path == reverse("factors")
        assert Notice.objects.get(kind=kind).delivery == "now"
    assert told("delegation.named") == {"Mallory", "Bob"}  # as the page says
    assert words_for(Notice.objects.filter(kind="delegation.named")[0]).path == reverse("delegates")


def test_who_received_a_keys_secrets_hears_that_somebody_else_does(sealing: SealingThread, world: World) -> None:
    key, _, _ = issued(world)
    with pytest.raises(Denied):
        name_recipient(key, recipient=world.mallory, actor=acting(world.mallory, "handover"))
    name_recipient(key, recipient=world.anna, actor=acting(world.admin, "handover"))
    react(sealing)
    assert told("key.recipient-changed") == {"Alice", "Anna"}
    assert words_for(Notice.objects.filter(kind="key.recipient-changed")[0]).path == f"/keys/{key.number}/"
