"""Auditors and administrators read the log, open lives and take out what they filtered; nobody else finds it, and reading is on record."""

from __future__ import annotations

import functools
import re

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit import clock
from audit.log import erase_private
from audit.models import AuditEvent
from audit.scanning import find_page
from keys.lifecycle.revocation import revoke_key
from keys.people.roles import rename_person
from keys.reports.log import search_log
from keys.reports.searches import LogSearch
from keys.states import RevocationReason
from tests.people import acting, issued, submitted
from tests.portal.doorway import details, events, last_event, signed_in

pytestmark = pytest.mark.django_db
READERS = ["auditor", "admin"]
OTHERS = ["alice", "bob", "carol", "mallory", "responder"]


def _alike(page):
    """A page without its request id and its protection token, which are new every time."""
    return re.sub(rb"[0-9A-Za-z]{64}|[0-9a-f]{32}", b"", page)


def _pages(key, event):
    return [
        reverse("audit"),
        reverse("audit") + "?target=KEY-1&who=nobody-of-this-name",
        reverse("audit_event", args=[event.uid]),
        reverse("audit_export"),
        reverse("find_life") + f"?key={key}",
        reverse("key_life", args=[key.number]),
        reverse("saved_searches"),
        reverse("save_search") + "?environment=prod",
        reverse("new_sample") + "?environment=prod",
        reverse("audit_verify"),
        reverse("audit_verifier"),
        reverse("audit_event_entry", args=[event.uid]),
    ]


@pytest.mark.parametrize("who", READERS)
def test_readers_open_every_page(world, who):
    key, _version, _secret = issued(world)
    client = signed_in(getattr(world, who))
    statuses = [client.get(address).status_code for address in _pages(key, last_event("key.created"))]
    assert statuses == [200, 422, 200, 200, 302, *[200] * 7]


@pytest.mark.parametrize("who", OTHERS)
def test_for_everybody_else_there_is_no_log(world, who):
    key, _version, _secret = issued(world)
    person = getattr(world, who)
    client = signed_in(person, "*")
    nothing = client.get("/nothing-is-here/").content
    for address in _pages(key, last_event("key.created")):
        answer = client.get(address)
        assert answer.status_code == 404, address
        assert _alike(answer.content) == _alike(nothing)
    assert client.post(reverse("audit_export"), {"form": "csv"}).status_code == 404
    refused = events(action="access.denied", actor_id=str(person.pk))
    # Whoever cannot see the key is stopped before the log is asked.
    assert len(refused) >= len(_pages(key, refused[0])) - 1
    assert {event.envelope()["reason"] for event in refused} == {"not_an_auditor"}
    assert not events(action="audit.log-read", actor_id=str(person.pk))


def test_events_say_how_and_with_what_somebody_came(world):
    claimed = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    signed_in(world.auditor).get("/audit/", headers={"user-agent": claimed})
    page = signed_in(world.auditor).get(reverse("audit_event", args=[last_event("audit.log-read").uid]))
    told = page.content.decode().partition("The bytes that were recorded")[0]
    assert f"Firefox on Linux · {claimed}" in told
    assert "a password + a code from an app" in told
    assert "totp" not in told


def test_strangers_are_sent_to_sign_in(db):
    assert Client().get("/audit/").status_code == 302


def test_one_search_is_one_record_however_many_rows(world):
    issued(world)
    client = signed_in(world.auditor)
    page = client.get("/audit/?outcome=success&environment=prod")
    assert page.status_code == 200
    (read,) = events(action="audit.log-read")
    assert read.actor_id == str(world.auditor.pk)
    assert details(read) == {
        "searched": {"environment": "prod", "outcome": "success"},
        "shown": len(page.context["rows"]),
    }
    assert details(read)["shown"] > 5


def test_rows_speak_of_people_and_things_by_name(world):
    key, version, _secret = issued(world)
    page = signed_in(world.auditor).get(f"/audit/?target={key}").content.decode()
    assert "A secret was handed over, once" in page
    assert f"{key} · Nightly report" in page
    assert "Alice" in page
    assert f"{key} v1" in page
    assert str(version.pk) not in re.sub(r'href="[^"]*"', "", page)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (
            "who=alice@example.com",
            {"request.submitted", "rotation.scheduled", "version.claim-intended", "version.issued"},
        ),
        ("who=Bob", {"approval.given"}),
        ("action=key.created", {"key.created"}),
        ("target=REQ-{request}", {"request.submitted", "approval.given", "request.approved"}),
        ("target={kid}", {"version.created", "version.claim-intended", "version.issued"}),
        ("target=alice@example.com", {"person.invited"}),
        ("target=orders:cancel", {"scope.created"}),
        ("who=system:tests&action=team.created", {"team.created"}),
        ("since=2001-01-01T00:00&before=2001-01-02T00:00", set()),
    ],
)
def test_filters_find_what_they_name(world, query, expected):
    key, version, _secret = issued(world)
    query = query.format(request=key.request.number, kid=version.kid)
    page = signed_in(world.auditor).get(f"/audit/?{query}")
    assert page.status_code == 200
    assert {row.action for row in page.context["rows"]} == expected


def test_a_name_that_fits_several_is_offered_for_choosing_and_nothing_is_read(world):
    client = signed_in(world.auditor)
    page = client.get("/audit/?who=al")
    assert page.status_code == 422
    assert {label for label, _query in page.context["offers"]} == {
        "Alice (alice@example.com)",
        "Mallory (mallory@example.com)",
    }
    assert not events(action="audit.log-read")
    query = dict(page.context["offers"])["Alice (alice@example.com)"]
    assert client.get(f"/audit/{query}").status_code == 200
    (read,) = events(action="audit.log-read")
    # The record names the person by identifier: it is kept for ever, and an address is personal.
    assert details(read)["searched"] == {"actor": f"person:{world.alice.pk}"}


@pytest.mark.parametrize(
    "query",
    [
        "since=yesterday",
        "since=2026-01-02T00:00&before=2026-01-01T00:00",
        "action=no.such",
        "outcome=fine",
        "environment=moon",
        "target=KEY-99999999999999",
        "target=key:not-a-uuid",
        "who=person:not-a-uuid",
        "after=%F0%9F%99%82",
        "after=AAAA",
        "target=" + "x" * 500,
        "who=' OR 1=1",
        "request=" + "x" * 65,
    ],
)
def test_bad_input_is_no_error_of_ours(world, query):
    assert signed_in(world.auditor).get(f"/audit/?{query}").status_code in (200, 422)


def test_pages_follow_each_other_without_gap_or_repetition(world):
    for number in range(12):
        rename_person(world.alice, actor=acting(world.alice), name=f"Alice {number}")
    client = signed_in(world.auditor)
    told = [row.address for row in client.get("/audit/?before=2090-01-01T00:00").context["rows"]]
    expected = list(AuditEvent.objects.exclude(action="audit.log-read").newest_first().values_list("uid", flat=True))
    page = client.get("/audit/?before=2090-01-01T00:00")
    seen = []
    while True:
        seen += [row.address for row in page.context["rows"]]
        if not page.context["following"]:
            break
        page = client.get("/audit/" + page.context["following"])
    assert told[0].endswith(f"{expected[0]}/")
    wanted = [reverse("audit_event", args=[uid]) for uid in expected]
    assert [address for address in seen if address in set(wanted)] == wanted


def test_one_reads_on_to_older_and_back_to_newer_and_jumps_to_a_day(world):
    for number in range(120):
        rename_person(world.alice, actor=acting(world.alice), name=f"Alice {number}")
    client = signed_in(world.auditor)

    def opened(query):
        page = client.get(f"/audit/{query}")
        assert page.status_code == 200
        return page.context, [row.address for row in page.context["rows"]]

    first, newest = opened("?action=person.changed")
    assert (len(newest), first["preceding"], first["newest"]) == (50, "", "")
    second, older = opened(first["following"])
    third, oldest = opened(second["following"])
    assert (len(older), len(oldest), third["following"]) == (50, 20, "")
    back, again = opened(third["preceding"])
    assert again == older
    home, top = opened(back["preceding"])
    assert top == newest
    assert home["preceding"] == ""
    today = f"{clock.now():%Y-%m-%d}"
    assert opened(f"?action=person.changed&day={today}")[1] == newest
    nothing, rows = opened("?action=person.changed&day=2001-01-01")
    assert (rows, nothing["following"]) == ([], "")
    assert opened(nothing["preceding"])[1][-20:] == oldest
    for day in ("9999-12-31", "soon", "2026-02-30", "0001-01-01"):
        opened(f"?day={day}")


def test_a_page_of_the_log_takes_the_same_number_of_queries_however_long(world):
    client = signed_in(world.auditor)
    rename_person(world.alice, actor=acting(world.alice), name="Alice A")

    def queries(query):
        with CaptureQueriesContext(connection) as found:
            page = client.get(f"/audit/{query}")
        assert page.status_code == 200
        return len(found), len(page.context["rows"])

    few, shown = queries("?action=person.changed")
    assert shown == 1
    for number in range(60):
        rename_person(world.alice, actor=acting(world.alice), name=f"Alice {number}")
    many, shown = queries("?action=person.changed")
    assert shown == 50
    assert many == few
    issued(world)
    submitted(world)
    everything, shown = queries("")
    assert shown == 50
    assert everything <= few + 12, "one look-up for each kind of thing, and no more"


def test_a_search_that_takes_too_long_says_what_to_do(world, monkeypatch):
    def slow(*_args, **_kwargs):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 20")
            cursor.execute("SELECT pg_sleep(5)")

    monkeypatch.setattr("keys.reports.log.read_page", slow)
    page = signed_in(world.auditor).get("/audit/?environment=prod")
    assert page.status_code == 503
    assert "This search takes too long" in page.content.decode()
    assert not events(action="audit.log-read")


def test_where_patience_ended_the_page_says_how_far_it_looked(world, monkeypatch):
    """Neither filter is rare, and together they fit nothing: the worst there is for a search."""
    for number in range(20):
        rename_person(world.alice, actor=acting(world.alice), name=f"Alice {number}")
        search_log(LogSearch(), actor=acting(world.auditor), size=1)
    monkeypatch.setattr("audit.scanning.LARGEST_STEP", 5)
    monkeypatch.setattr("audit.reading.find_page", functools.partial(find_page, patience=-1))
    client = signed_in(world.auditor)
    page = client.get("/audit/?who=auditor@example.com&action=person.changed")
    pages = 1
    while page.context["following"]:
        text = page.content.decode()
        assert "Nothing found yet" in text
        assert "looked as far as" in text
        assert "Go on looking" in text
        page = client.get("/audit/" + page.context["following"])
        pages += 1
    assert "No event fits" in page.content.decode()
    assert pages >= 4


def test_the_page_of_an_event_shows_old_and_new_and_the_private_part_until_it_is_erased(world):
    rename_person(world.alice, actor=acting(world.alice), name="Alice Amsel")
    event = last_event("person.changed")
    address = reverse("audit_event", args=[event.uid])
    client = signed_in(world.auditor)
    page = client.get(address).content.decode()
    assert "Alice Amsel" in page
    assert ">Alice<" in page.replace("\n", "")
    read = last_event("audit.log-read")
    assert details(read)["searched"] == {"event": str(event.uid)}
    with transaction.atomic():
        erase_private(
            [event.uid],
            person_id=str(world.alice.pk),
            actor=acting(world.admin),
            at=clock.now(),
            reason="asked-by-the-person",
        )
    page = client.get(address)
    assert "Erased." in page.content.decode()
    assert page.context["changes"] == []
    assert page.context["hidden"] == []
    assert "name erased" in client.get("/audit/?action=person.changed").content.decode()


def test_the_whole_life_of_a_key_is_on_one_page_and_its_reading_on_record(world):
    key, version, _secret = issued(world)
    revoke_key(key, actor=acting(world.admin, "revoke"), reason=RevocationReason.KEY_COMPROMISE)
    client = signed_in(world.auditor)
    assert client.get(f"/audit/lives/?key={version.kid}")["location"] == reverse("key_life", args=[key.number])
    page = client.get(reverse("key_life", args=[key.number]))
    text = page.content.decode()
    for words in (
        str(key.request),
        "Bob",
        "Carol",
        "a code from an app",
        "confirmed, not signed",
        version.kid,
        "key-compromise",
    ):
        assert words in text
    told = [row.action for row in page.context["rows"]]
    assert told[0] == "request.submitted"
    assert told[-2:] == ["version.compromised", "rotation.aborted"]
    read = last_event("audit.log-read")
    assert details(read) == {"searched": {"life": f"key:{key.pk}"}, "shown": len(told)}


def test_a_refused_attempt_belongs_to_the_life_of_the_key(world):
    key, _version, _secret = issued(world)
    with pytest.raises(Exception, match="may_not_stop_key"):
        revoke_key(key, actor=acting(world.mallory, "revoke"), reason=RevocationReason.SUPERSEDED)
    page = signed_in(world.auditor).get(reverse("key_life", args=[key.number]))
    assert "access.denied" in [row.action for row in page.context["rows"]]
    assert f"{key} · Nightly report" in [row.target for row in page.context["rows"] if row.action == "access.denied"]


def test_auditors_change_nothing_anywhere(world):
    key, _version, _secret = issued(world)
    request = submitted(world)
    client = signed_in(world.auditor, "*")
    before = {key.pk: key.revoked_at}
    attempts = [
        (reverse("revoke", args=[key.number]), {"reason": "superseded", "phrase": key.name}),
        (reverse("suspend", args=[key.number]), {"reason": "investigation"}),
        (reverse("leak", args=[key.number]), {}),
        (reverse("decide", args=[request.number]), {"decision": "approve", "digest": request.digest}),
        (reverse("withdraw", args=[request.number]), {}),
        (reverse("nudge", args=[request.number]), {}),
        (reverse("admin:keys_managedkey_act", args=[key.pk, "revoke"]), {}),
    ]
    for address, typed in attempts:
        assert client.post(address, typed).status_code in (403, 404, 409), address
    key.refresh_from_db()
    assert before == {key.pk: key.revoked_at}
    assert not AuditEvent.objects.filter(actor_id=str(world.auditor.pk), outcome="success").exists()


def test_an_export_without_a_step_up_is_not_made(world):
    client = signed_in(world.auditor)
    answer = client.post("/audit/export/?outcome=success", {"form": "csv"})
    assert answer.status_code == 422
    assert not events(action="audit.log-exported")
