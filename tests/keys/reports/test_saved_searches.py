"""Searches that people keep: one event for each change, own ones and shared ones, and nobody changes somebody else's."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction

from audit.actor import Actor
from audit.models import AuditEvent
from keys.errors import Conflict, Denied, Invalid
from keys.models import SavedSearch
from keys.reports.saved_searches import MOST_SAVED, change_saved_search, remove_saved_search, save_search
from keys.reports.searches import LogSearch, Subject
from tests.people import acting

PROD = LogSearch(environment="prod", outcome="denied")


def told(action: str):
    return list(AuditEvent.objects.with_action(action).select_related("private").oldest_first())


def test_a_search_is_kept_changed_and_removed_and_each_is_one_event(world):
    auditor = acting(world.auditor)
    saved = save_search(PROD, actor=auditor, name="  Refusals in production ")
    assert (saved.name, saved.query, saved.is_shared) == (
        "Refusals in production",
        {"environment": "prod", "outcome": "denied"},
        False,
    )
    change_saved_search(saved, actor=auditor, name="Refusals", is_shared=True)
    change_saved_search(saved, actor=auditor, name="Refusals", is_shared=True)  # nothing changed, nothing to tell
    remove_saved_search(saved, actor=auditor)
    saved.refresh_from_db()
    assert saved.removed_at is not None
    for action in ("created", "changed", "removed"):
        (event,) = told(f"saved-search.{action}")
        assert (event.target_id, event.actor_id) == (str(saved.pk), str(world.auditor.pk))
    (changed,) = told("saved-search.changed")
    # What somebody typed is erasable; that it was shared is not.
    assert changed.envelope()["change"] == {"is_shared": [False, True]}
    assert changed.private.facts()["change"] == {"name": ["Refusals in production", "Refusals"]}


def test_a_removed_search_is_not_changed_again_and_its_name_is_free(world):
    auditor = acting(world.auditor)
    saved = save_search(PROD, actor=auditor, name="Refusals")
    remove_saved_search(saved, actor=auditor)
    for act in (
        lambda: remove_saved_search(saved, actor=auditor),
        lambda: change_saved_search(saved, actor=auditor, name="Other", is_shared=False),
    ):
        with pytest.raises(Conflict, match="search_removed"):
            act()
    assert save_search(PROD, actor=auditor, name="Refusals").pk != saved.pk


@pytest.mark.parametrize("who", ["alice", "bob", "mallory", "responder"])
def test_whoever_may_not_read_the_log_keeps_no_search_of_it(world, who):
    actor = acting(getattr(world, who), "*")
    saved = save_search(PROD, actor=acting(world.auditor), name="Refusals", is_shared=True)
    for act in (
        lambda: save_search(PROD, actor=actor, name="Mine"),
        lambda: change_saved_search(saved, actor=actor, name="Mine", is_shared=False),
        lambda: remove_saved_search(saved, actor=actor),
    ):
        with pytest.raises(Denied) as refused:
            act()
        assert refused.value.hidden
    assert AuditEvent.objects.filter(action="access.denied", actor_id=actor.id).count() == 3


def test_another_reader_sees_a_shared_search_and_may_not_change_it(world):
    saved = save_search(PROD, actor=acting(world.auditor), name="Refusals", is_shared=True)
    own = save_search(PROD, actor=acting(world.auditor), name="Only mine")
    other = acting(world.admin)
    assert list(SavedSearch.objects.visible_to(other)) == [saved]
    assert set(SavedSearch.objects.visible_to(acting(world.auditor))) == {saved, own}
    assert not SavedSearch.objects.visible_to(acting(world.alice)).exists()
    assert not SavedSearch.objects.visible_to(None).exists()
    with pytest.raises(Denied, match="not_your_search"):
        change_saved_search(saved, actor=other, name="Theirs", is_shared=True)
    with pytest.raises(Denied, match="not_your_search"):
        remove_saved_search(saved, actor=other)


def test_programs_and_shells_keep_no_searches(world):
    with pytest.raises(Denied, match="only_people_keep_searches"):
        save_search(PROD, actor=Actor.operator("root"), name="Mine")


@pytest.mark.parametrize(
    ("search", "name", "code"),
    [
        (PROD, "", "required"),
        (PROD, "x" * 81, "too_long"),
        (PROD, "a\u202eb", "unseen_characters"),
        (PROD, "Taken", "taken"),
        (LogSearch(), "Everything", "nothing_to_save"),
    ],
)
def test_what_cannot_be_kept_is_refused_at_its_field(world, search, name, code):
    actor = acting(world.auditor)
    save_search(PROD, actor=actor, name="Taken")
    with pytest.raises(Invalid) as refused:
        save_search(search, actor=actor, name=name)
    assert refused.value.fields["name"][0] == code


def test_the_same_name_is_free_for_somebody_else_and_taken_for_a_rename(world):
    saved = save_search(PROD, actor=acting(world.auditor), name="Refusals")
    save_search(PROD, actor=acting(world.admin), name="Refusals")
    save_search(PROD, actor=acting(world.auditor), name="Other")
    with pytest.raises(Invalid):
        change_saved_search(saved, actor=acting(world.auditor), name="Other", is_shared=False)


def test_nobody_keeps_more_than_can_be_looked_through(world, monkeypatch):
    monkeypatch.setattr("keys.reports.saved_searches.MOST_SAVED", 2)
    assert MOST_SAVED == 100
    for number in range(2):
        save_search(PROD, actor=acting(world.auditor), name=f"s{number}")
    with pytest.raises(Invalid) as refused:
        save_search(PROD, actor=acting(world.auditor), name="s2")
    assert refused.value.fields["name"] == ("too_many", {"most": 2})


def test_a_saved_search_that_changes_without_an_event_does_not_commit(committed_db, world):
    saved = save_search(PROD, actor=acting(world.auditor), name="Refusals")
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE keys_savedsearch SET is_shared = true WHERE id = %s", [saved.pk])


def test_a_search_reads_back_what_it_keeps(world):
    search = LogSearch(
        actor=Subject("person", str(world.alice.pk)),
        target=Subject("key", str(world.alice.pk)),
        actions=("key.revoked",),
        environment="prod",
        outcome="denied",
        request_id="r-1",
        sample=world.alice.pk,
        sealed_before=281,
    )
    assert LogSearch.of(search.kept()) == search
    assert LogSearch.of({}) == LogSearch()
