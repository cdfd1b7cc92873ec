"""Everybody concerned is told, once, and nobody else."""

import threading

from django.core import mail
from django.db import connection, transaction

from audit import clock
from audit.events import catalogue
from keys.approvals.decisions import approve_request, deny_request
from keys.approvals.submission import nudge_request
from keys.dispatch.cursor import lag, read_all
from keys.lifecycle.issuance import claim_secret
from keys.models import Notice
from keys.notifications.mail import send_waiting
from keys.notifications.reactions import WHO, notice_everyone
from keys.notifications.words import SAYINGS, words_for
from tests.people import World, acting, issued, submitted


def told(kind: str) -> set[str]:
    return set(Notice.objects.filter(kind=kind).values_list("person__name", flat=True))


def react() -> int:
    return read_all("notices", (notice_everyone,))


def test_every_reaction_names_an_event_and_has_words() -> None:
    assert set(WHO) <= set(catalogue())
    assert set(WHO) == set(SAYINGS)


def test_approvers_hear_of_a_request_and_the_requester_of_decisions(committed_db: None, world: World) -> None:
    request = submitted(world)
    react()
    assert told("request.submitted") == {"Bob", "Ben", "Carol"}
    approve_request(request, digest=request.digest, actor=acting(world.bob, "approve"))
    nudge_request(request, actor=acting(world.alice))
    react()
    assert told("request.nudged") == {"Ben", "Carol"}
    deny_request(request, digest=request.digest, comment="Not now.", actor=acting(world.carol, "approve"))
    react()
    assert told("request.denied") == {"Alice"}
    assert lag("notices") == 0


def test_a_second_claim_alarms_everyone_concerned(committed_db: None, world: World) -> None:
    _, version, _ = issued(world)
    claim_secret(version, actor=acting(world.alice, "claim", session="elsewhere"))
    react()
    assert told("version.suspended") == {"Alice", "Anna", "Bob", "Responder", "Admin", "Admin2"}


def test_reading_the_log_again_tells_nobody_twice(committed_db: None, world: World) -> None:
    submitted(world)
    react()
    before = Notice.objects.count()
    assert before
    with transaction.atomic():
        from keys.models import DispatchCursor

        DispatchCursor.objects.all().delete()
    react()
    assert Notice.objects.count() == before


def test_an_event_of_an_open_transaction_is_not_missed(committed_db: None, world: World) -> None:
    """A slow transaction that began first commits last: "id greater than the last" would have skipped it."""
    began, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        with transaction.atomic():
            from audit.actor import Actor
            from audit.log import record
            from keys.events import RequestNudged

            record(RequestNudged(target_id=str(early.pk)), actor=Actor.system("slow"), at=clock.now())
            began.set()
            go_on.wait(10)
        connection.close()

    early = submitted(world)
    react()
    thread = threading.Thread(target=slow)
    thread.start()
    assert began.wait(10)
    submitted(world, name="Second")
    react()
    go_on.set()
    thread.join()
    react()
    assert told("request.nudged") == {"Bob", "Ben", "Carol"}
    assert Notice.objects.filter(kind="request.submitted").count() == 6


def test_mail_has_one_recipient_one_action_and_a_constant_id(committed_db: None, world: World) -> None:
    submitted(world)
    react()
    waiting = Notice.objects.unsent().count()
    assert send_waiting() == waiting
    assert send_waiting() == 0
    assert len({message.extra_headers["Message-ID"] for message in mail.outbox}) == waiting
    assert all(len(message.to) == 1 and message.body.count("http") == 1 for message in mail.outbox)


def test_every_saying_can_be_said(committed_db: None, world: World) -> None:
    request = submitted(world)
    for kind in SAYINGS:
        notice = Notice(kind=kind, subject_type="request", subject_id=str(request.pk), params={}, person=world.alice)
        words = words_for(notice)
        assert words.subject
        assert "{" not in words.subject + words.sentence
