"""A person saves a search of the log by name, finds it, opens, renames, shares and removes it; each door has its three cases."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse

from keys.models import SavedSearch
from keys.reports.saved_searches import save_search
from keys.reports.searches import LogSearch, Subject
from tests.people import acting, issued
from tests.portal.doorway import events, signed_in

PROD = LogSearch(environment="prod", outcome="denied")


@pytest.fixture
def saved(world):
    return save_search(PROD, actor=acting(world.auditor), name="Refusals in production")


def _doors(saved):
    return [
        ("get", reverse("saved_searches"), {}),
        ("get", reverse("save_search") + "?environment=prod", {}),
        ("post", reverse("save_search") + "?environment=prod", {"name": "Mine"}),
        ("get", reverse("saved_search", args=[saved.pk]), {}),
        ("post", reverse("saved_search", args=[saved.pk]), {"name": "Mine"}),
        ("post", reverse("remove_search", args=[saved.pk]), {}),
    ]


def test_a_search_is_saved_found_opened_renamed_shared_and_removed(world):
    client = signed_in(world.auditor)
    page = client.get("/audit/")
    assert "None yet" in page.content.decode()
    assert "Save this search" not in page.content.decode()
    page = client.get("/audit/?environment=prod&who=alice@example.com")
    address = reverse("save_search") + page.context["query"]
    assert address.replace("&", "&amp;") in page.content.decode()
    assert client.get(address).status_code == 200
    answer = client.post(address, {"name": "Alice in production"})
    assert answer.status_code == 302
    row = SavedSearch.objects.get()
    assert row.query == {"environment": "prod", "who": f"person:{world.alice.pk}"}
    page = client.get(answer["location"])
    (listed,) = page.context["saved"]
    assert "Alice in production" in page.content.decode()
    assert client.get(listed.address).context["form"].search() == LogSearch(
        environment="prod", actor=Subject("person", str(world.alice.pk))
    )
    change = reverse("saved_search", args=[row.pk])
    assert 'value="Alice in production"' in client.get(change).content.decode()
    assert client.post(change, {"name": "Alice", "is_shared": "on"})["location"] == reverse("saved_searches")
    row.refresh_from_db()
    assert (row.name, row.is_shared) == ("Alice", True)
    assert client.post(reverse("remove_search", args=[row.pk])).status_code == 302
    assert "No saved search yet" in client.get(reverse("saved_searches")).content.decode()
    assert client.get(change).status_code == 404
    assert [event.action for event in events(target_type="saved-search")] == [
        f"saved-search.{word}" for word in ("created", "changed", "removed")
    ]


@pytest.mark.parametrize("doing", ["save_search", "audit_export", "new_sample"])
def test_a_filter_is_told_by_names_and_not_by_identifiers(world, doing):
    key = issued(world)[0]
    client = signed_in(world.auditor)
    sample = "01a2092f-fe8b-76ef-9745-6a72e6cf1ef8"
    query = f"?who=person:{world.alice.pk}&target=key:{key.pk}&sample={sample}&before=2090-01-01T00:00"
    client.post(reverse("save_search") + query, {"name": "Alice and her key"})
    for address in (reverse(doing) + query, reverse("saved_searches")):
        words = " ".join(re.sub(r"<[^>]*>", " ", client.get(address).content.decode()).split())
        assert "Who Alice" in words
        assert f"To what {key} · {key.name} with its" in words
        assert "Before 2090-01-01T00:00:00+00:00" in words
        assert "The draw 01a2092f…" in words
        assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-", words)


@pytest.mark.parametrize("who", ["alice", "bob", "mallory", "responder"])
def test_for_whoever_may_not_read_the_log_there_are_no_saved_searches(world, saved, who):
    client = signed_in(getattr(world, who), "*")
    SavedSearch.objects.all()
    for method, address, typed in _doors(saved):
        assert getattr(client, method)(address, typed).status_code == 404, address
    assert not events(action="saved-search.changed")
    assert len(events(action="access.denied", actor_id=str(getattr(world, who).pk))) >= len(_doors(saved))


def test_strangers_are_sent_to_sign_in(saved):
    for method, address, typed in _doors(saved):
        assert getattr(Client(), method)(address, typed)["location"].startswith("/sign-in/")


def test_a_colleague_opens_what_is_shared_and_changes_nothing(world, saved):
    client = signed_in(world.admin)
    for address in (reverse("saved_search", args=[saved.pk]), reverse("remove_search", args=[saved.pk])):
        assert client.post(address, {"name": "Mine"}).status_code == 404
    signed_in(world.auditor).post(
        reverse("saved_search", args=[saved.pk]), {"name": "Refusals in production", "is_shared": "on"}
    )
    page = client.get(reverse("saved_searches"))
    assert [(row.saved, row.is_mine) for row in page.context["rows"]] == [(saved, False)]
    assert reverse("remove_search", args=[saved.pk]) not in page.content.decode()
    assert client.post(reverse("saved_search", args=[saved.pk]), {"name": "Mine"}).status_code == 403
    assert client.post(reverse("remove_search", args=[saved.pk])).status_code == 403


@pytest.mark.parametrize(
    ("query", "typed"),
    [
        ("?environment=prod", {"name": ""}),
        ("?environment=prod", {"name": "x" * 500}),
        ("?environment=prod", {"name": "Refusals in production"}),
        ("?environment=prod", {"name": "a\u202eb"}),
        ("?environment=moon", {"name": "Moon"}),
        ("?since=yesterday", {"name": "Moon"}),
        ("", {"name": "Everything"}),
    ],
)
def test_what_cannot_be_saved_is_said_on_the_page(world, saved, query, typed):
    answer = signed_in(world.auditor).post(reverse("save_search") + query, typed)
    assert answer.status_code == 422
    assert SavedSearch.objects.count() == 1
