"""Reading and exporting the log as operations: who may, what is on record, and what a search means."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from django.db import connection

from audit.actor import Actor
from audit.models import AuditEvent
from keys.errors import Denied, NotFound
from keys.events import KeyRevoked
from keys.people.roles import rename_person
from keys.reports.finding import find_actors, find_targets
from keys.reports.labels import names_in, sentence_of, words_for_action
from keys.reports.lives import read_key_life
from keys.reports.log import export_log, read_event, search_log
from keys.reports.searches import LogSearch, Subject, subjects_of
from tests.people import acting, issued, submitted


def _rename(world, times):
    for number in range(times):
        rename_person(world.alice, actor=acting(world.alice), name=f"Alice {number}")


@pytest.mark.django_db
@pytest.mark.parametrize("who", ["alice", "bob", "mallory", "responder"])
def test_only_auditors_and_administrators_read_and_each_refusal_is_hidden_and_on_record(world, who):
    key = issued(world)[0]
    actor = acting(getattr(world, who), "*")
    uid = AuditEvent.objects.newest_first().first().uid
    for read in (
        lambda: search_log(LogSearch(), actor=actor),
        lambda: read_event(uid, actor=actor),
        lambda: read_key_life(key, actor=actor),
    ):
        with pytest.raises(Denied) as refused:
            read()
        assert refused.value.hidden
    assert AuditEvent.objects.filter(action="access.denied", actor_id=actor.id).count() == 3
    assert not AuditEvent.objects.filter(action="audit.log-read").exists()


@pytest.mark.django_db
def test_somebody_deactivated_reads_no_more(world):
    actor = acting(world.auditor)
    search_log(LogSearch(), actor=actor)
    type(world.auditor).objects.filter(pk=world.auditor.pk).update(roles=[])
    with pytest.raises(Denied):
        search_log(LogSearch(), actor=actor)


@pytest.mark.django_db
def test_the_operator_at_the_shell_reads_too(world):
    assert search_log(LogSearch(), actor=Actor.operator("root")).events


@pytest.mark.django_db
def test_pages_follow_each_other_and_what_is_read_is_told(world):
    _rename(world, 7)
    actor = acting(world.auditor)
    search = LogSearch(actions=("person.changed",), actor=Subject("person", str(world.alice.pk)))
    first = search_log(search, actor=actor, size=5)
    second = search_log(search, actor=actor, size=5, after=first.following)
    assert [len(first.events), len(second.events)] == [5, 2]
    assert second.following is None
    ids = [event.id for event in (*first.events, *second.events)]
    assert ids == sorted(ids, reverse=True)
    told = [event.envelope()["details"] for event in AuditEvent.objects.filter(action="audit.log-read").oldest_first()]
    assert [each["shown"] for each in told] == [5, 2]
    assert told[0]["searched"] == {"action": "person.changed", "actor": f"person:{world.alice.pk}"}
    assert set(told[1]["searched"]) == {"action", "actor", "after"}


@pytest.mark.django_db
def test_a_key_means_its_versions_and_a_request_its_approvals(world):
    key, version, _secret = issued(world)
    assert Subject("version", str(version.pk)) in subjects_of(Subject("key", str(key.pk)))
    assert len(subjects_of(Subject("request", str(key.request_id)))) == 3
    assert subjects_of(Subject("key", "not-a-uuid")) == [Subject("key", "not-a-uuid")]


@pytest.mark.django_db
def test_a_span_counts_its_beginning_in_and_its_end_out(world):
    _rename(world, 1)
    event = AuditEvent.objects.get(action="person.changed")
    actor = acting(world.auditor)
    search = LogSearch(start=event.occurred_at, end=event.occurred_at + timedelta(milliseconds=1))
    assert event in search_log(search, actor=actor).events
    assert event not in search_log(LogSearch(end=event.occurred_at), actor=actor).events


@pytest.mark.django_db
def test_an_event_that_is_not_there_is_not_found(world):
    with pytest.raises(NotFound):
        read_event(world.alice.pk, actor=acting(world.auditor))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("alice@example.com", "person"),
        ("ALICE", "person"),
        ("Bo", "person"),
        ("job:mail", "job"),
        ("system:tests", "system"),
    ],
)
def test_an_actor_is_found_by_name_address_or_kind(world, text, kind):
    assert [meant.subject.kind for meant in find_actors(text, actor=acting(world.auditor))] == [kind]


@pytest.mark.django_db
def test_a_target_is_found_by_what_people_call_it(world):
    key, version, _secret = issued(world)
    actor = acting(world.auditor)
    texts = [str(key), str(key).lower(), version.kid, str(key.request), "orders:cancel", f"policy:{key.policy_id}"]
    kinds = [[meant.subject.kind for meant in find_targets(text, actor=actor)] for text in texts]
    assert kinds == [["key"], ["key"], ["version"], ["request"], ["scope"], ["policy"]]
    assert {meant.subject.kind for meant in find_targets("Orders", actor=actor)} == {"service", "team"}
    assert find_targets("KEY-999999", actor=actor) == []


@pytest.mark.django_db
def test_every_event_of_a_life_has_words_and_a_name_for_its_target(world):
    key = issued(world)[0]
    submitted(world)
    life = read_key_life(key, actor=acting(world.auditor))
    assert len(life.decisions) == 2
    events = list(AuditEvent.objects.select_related("private"))
    names = names_in(events)
    for event in events:
        assert words_for_action(event.action) != event.action
        if event.target_type not in ("audit-log", "access"):
            assert event.target_id[:8] not in names.of_target(event), event.action


def test_words_are_the_first_sentence_of_what_is_documented():
    assert sentence_of(KeyRevoked) == "A key was ended before its time; nothing of it verifies again."[:-1]


# --- exports ---------------------------------------------------------------------------------------------------------------


class _Watching(io.BytesIO):
    """A file that asks, at each line, what kind of transaction it is written from."""

    def __init__(self):
        super().__init__()
        self.levels = set()

    def write(self, data):
        with connection.cursor() as cursor:
            cursor.execute("SHOW transaction_isolation")
            self.levels.add(cursor.fetchone()[0])
        return super().write(data)


def test_an_export_is_one_snapshot_and_its_own_event_is_not_in_it(sealing, world):
    issued(world)
    into = _Watching()
    manifest = export_log(LogSearch(), form="jsonl", into=into, actor=acting(world.auditor, "export"))
    assert into.levels == {"repeatable read"}
    assert manifest.rows == into.getvalue().count(b"\n")
    assert AuditEvent.objects.count() == manifest.rows + 1
    assert AuditEvent.objects.newest_first().first().action == "audit.log-exported"
    with connection.cursor() as cursor:
        cursor.execute("SHOW transaction_isolation")
        assert cursor.fetchone()[0] == "read committed"


def test_an_export_needs_presence_and_the_right_to_read(sealing, world):
    for actor in (acting(world.auditor), acting(world.alice, "export"), acting(world.auditor, "revoke")):
        into = io.BytesIO()
        with pytest.raises(Denied):
            export_log(LogSearch(), form="csv", into=into, actor=actor)
        assert into.getvalue() == b""
    assert AuditEvent.objects.filter(action="access.denied").count() == 3
