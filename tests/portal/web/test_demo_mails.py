"""The demo keeps its mails and shows them: to people who are signed in, and nowhere but in the demo."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.mail import get_connection
from django.test import Client
from django.urls import reverse

from audit import clock
from keys.models import Notice
from keys.notifications.mail import send_waiting
from tests.people import World, submitted
from tests.portal.doorway import signed_in


@pytest.fixture
def demo(settings, tmp_path: Path) -> Path:
    settings.DEMO = True
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path / "mail")
    return tmp_path / "mail"


def written(world: World) -> None:
    request = submitted(world)
    Notice.objects.create(
        event_uid=request.pk, person=world.carol, kind="request.submitted", subject_type="request",
        subject_id=str(request.pk), created_at=clock.now(),
    )  # fmt: skip
    assert send_waiting() == 1


def test_before_the_first_mail_the_page_says_what_makes_one(world, demo):
    assert b"No mail yet" in signed_in(world.alice).get(reverse("demo_mails")).content


def test_a_mail_is_listed_and_read_as_text_and_as_html(world, demo):
    written(world)
    client = signed_in(world.alice)
    listed = client.get(reverse("demo_mails")).content.decode()
    assert "carol@example.com" in listed
    address = re.search(r'href="(/demo/mail/[0-9a-f]{20}/)"', listed)
    assert address is not None
    read = client.get(address[1])
    assert b"waits for your decision" in read.content
    assert b"style=" not in read.content
    drawn = client.get(address[1] + "html/")
    assert drawn.content.startswith(b"<!doctype html>")
    allowed = drawn["Content-Security-Policy"]
    assert "default-src 'none'" in allowed
    assert "sandbox" in allowed
    assert "script-src 'none'" in allowed
    assert "'self'" not in allowed


def test_several_mails_of_one_connection_are_told_apart(world, demo):
    with get_connection() as connection:
        for _ in range(2):
            Notice.objects.all().delete()
            written(world)
        assert connection
    listed = signed_in(world.alice).get(reverse("demo_mails")).content.decode()
    assert len(set(re.findall(r"/demo/mail/[0-9a-f]{20}/", listed))) == 2


def test_a_mail_that_is_not_there_is_not_found(world, demo):
    client = signed_in(world.alice)
    for name in ("demo_mail", "demo_mail_as_html"):
        assert client.get(reverse(name, args=["0" * 20])).status_code == 404


def test_strangers_are_sent_to_sign_in(world, demo):
    for path in (reverse("demo_mails"), reverse("demo_mail", args=["x"]), reverse("demo_mail_as_html", args=["x"])):
        assert Client().get(path).status_code == 302


def test_outside_the_demo_nobody_finds_the_pages(world, demo, settings):
    written(world)
    settings.DEMO = False
    client = signed_in(world.admin)
    for path in (reverse("demo_mails"), reverse("demo_mail", args=["x"]), reverse("demo_mail_as_html", args=["x"])):
        assert client.get(path).status_code == 404
