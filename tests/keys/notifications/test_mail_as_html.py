"""Every mail is text and HTML with the same words: one link, no secret, nothing that is fetched."""

import re
from datetime import timedelta
from email import policy
from email.parser import BytesParser
from html.parser import HTMLParser

import pytest
from django.core import mail

from audit import clock
from keys.lifecycle.rotation import start_rotation
from keys.models import Notice, Person
from keys.notifications.digests import release_reminders
from keys.notifications.mail import MOST_LINES, send_waiting
from keys.notifications.words import EVERYTHING_SAID, LAGGARDS, words_for
from tests.people import World, acting, issued

ELEMENTS = {"html", "head", "meta", "title", "style", "body", "table", "tr", "td", "h1", "p", "a", "ul", "li"}
ONE_TIME = ("invitation.created", "password.reset-requested")


class Elements(HTMLParser):
    """What an HTML mail consists of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


def sent(notice: Notice) -> mail.EmailMultiAlternatives:
    notice.save()
    assert send_waiting() == 1
    message = mail.outbox[-1]
    assert isinstance(message, mail.EmailMultiAlternatives)
    return message


def notice_of(world: World, kind: str, subject_type: str, subject: object, **params: object) -> Notice:
    return Notice(
        event_uid="8f9d5f0e-7d0c-4b77-9f8e-0d0f3a5a1f00",
        person=world.alice,
        kind=kind,
        subject_type=subject_type,
        subject_id=str(subject),
        params=params,
        created_at=clock.now(),
    )


@pytest.mark.parametrize("kind", [kind for kind in EVERYTHING_SAID if kind not in (*ONE_TIME, *LAGGARDS)])
def test_every_kind_is_one_mail_in_two_forms_with_one_action(world: World, kind: str) -> None:
    key, _, secret = issued(world)
    rotation = start_rotation(key, actor=acting(world.anna, "claim"))
    about = ("rotation", rotation.pk) if kind.startswith("rotation.") else ("key", key.pk)
    until = {"until": clock.now().isoformat()} if kind.startswith("reminder.") else {}
    notice = notice_of(world, kind, *about, reason="claim-lapsed", lines=7, **until)
    message = sent(notice)
    parsed = BytesParser(policy=policy.default).parsebytes(message.message().as_bytes())
    assert parsed.get_content_type() == "multipart/alternative"
    text, html = (part.get_content() for part in parsed.iter_parts())  # type: ignore[union-attr]
    words = words_for(notice)
    elements = Elements(html)
    links = [facts["href"] for tag, facts in elements.found if tag == "a"]
    assert links == [f"http://localhost:8000{words.path}"]
    assert text.count("http") == 1
    assert links[0] in text
    for said in (words.subject, words.sentence, words.action):
        assert said in elements.words
    assert words.sentence in text
    assert "{" not in words.subject + words.sentence
    assert secret.reveal() not in text + html
    assert {tag for tag, _ in elements.found} <= ELEMENTS
    assert not re.search(r"url\(|@import|src=", html)
    assert "prefers-color-scheme: dark" in html


def test_what_people_named_is_text_and_no_markup_nor_a_second_line(world: World) -> None:
    Person.objects.filter(pk=world.alice.pk).update(name="<b>Al</b> & Co")
    world.alice.refresh_from_db()
    key, _, _ = issued(world)
    notice = notice_of(world, "version.suspended", "key", key.pk, reason="<img src=//evil.test>\nBcc: all")
    message = sent(notice)
    html = str(message.alternatives[0][0])
    assert "&lt;b&gt;Al&lt;/b&gt; &amp; Co" in html
    assert "<img" not in html
    assert "<b>Al</b> & Co" in message.body
    assert "\n" not in message.subject


def test_a_digest_says_each_thing_the_most_urgent_first_and_is_one_mail(world: World) -> None:
    key, _, _ = issued(world)
    now = clock.now()
    for each in range(MOST_LINES + 5):
        line = notice_of(
            world, "reminder.key-ending", "key", key.pk, days=30, until=(now + timedelta(days=30)).isoformat()
        )
        line.event_uid = f"00000000-0000-4000-8000-{each:012}"
        line.delivery = "held"
        if each == 9:
            line.kind, line.params = "reminder.version-ended", {"days": 0, "until": now.isoformat()}
        line.save()
    assert release_reminders() == 1
    assert send_waiting() == 1
    assert send_waiting() == 0
    message = mail.outbox[-1]
    assert message.subject == f"Keystead: {MOST_LINES + 5} things to look at"
    body = str(message.body).splitlines()
    assert body[2] == f"- The secret of {key} has ended"
    assert "- and 5 more" in body
    assert str(message.body).count("http") == 1
    assert not Notice.objects.filter(sent_at=None).exists()
