"""Everybody concerned is told, once, and nobody else."""

from django.core import mail

from audit.actor import Actor
from audit.events import catalogue
from keys.approvals.decisions import approve_request, deny_request
from keys.approvals.submission import nudge_request
from keys.dispatch.cursor import lag_of, read_all
from keys.lifecycle.claiming import claim_secret
from keys.models import DispatchCursor, Notice, Session
from keys.notifications.mail import send_waiting
from keys.notifications.reactions import READER, WHO, notice_everyone
from keys.notifications.sayings import SAYINGS
from keys.notifications.words import EVERYTHING_SAID, words_for
from keys.people.session_ends import end_session, refuse_put_back
from tests.devices import answered, begun, polled, token_of
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
