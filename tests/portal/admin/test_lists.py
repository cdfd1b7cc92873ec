"""Lists cost the same however long they are, and no address of theirs ends in an error of ours."""

import html
import re
from collections import defaultdict
from urllib.parse import parse_qs

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.people import approved, issued, submitted
from tests.portal.doorway import signed_in

pytestmark = pytest.mark.django_db

ODD = [
    "q=%27%22%3B--",
    "q=" + "x" * 3000,
    "o=999.-999",
    "o=abc",
    "p=-1",
    "p=999999999999999999999",
    "created_at__year=99999",
    "created_at__month=13",
    "created_at__day=x",
    "standing=nonsense",
    "state=nonsense",
    "versions=nonsense",
    "environment__id__exact=not-a-uuid",
    "service__owner_team__name__startswith=O",
    "digest__startswith=a",
    "password__startswith=a",
    "all=",
    "e=1",
    "_popup=1",
    "_to_field=id",
    "retired_at__isempty=7",
]


def _lists():
    for model in admin.site._registry:
        yield reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


# Each list meets every third of them, and all of them where there is time.
@pytest.mark.parametrize("apart", [3, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("query", ODD)
def test_an_odd_address_is_refused_or_ignored(world, query, apart):
    client = signed_in(world.admin)
    for address in list(_lists())[ODD.index(query) % apart :: apart]:
        assert client.get(f"{address}?{query}").status_code in (200, 302, 400), address


@pytest.mark.parametrize(
    ("model", "query"),
    [
        ("person", "password__startswith=argon2"),
        ("person", "password__regex=."),
        ("person", "memberships__person__password__startswith=argon2"),
        ("keyversion", "row_mac__startswith=hmac"),
        ("keyversion", "digest__gte=a"),
        ("keyversion", "state__regex=."),
        ("invitation", "link_hash__startswith=hmac"),
        ("invitation", "created_at__gte=2020-01-01"),
        ("managedkey", "request__content__icontains=a"),
    ],
)
def test_lists_answer_only_by_what_they_offer(world, model, query):
    issued(world)
    address = reverse(f"admin:keys_{model}_changelist")
    assert signed_in(world.admin).get(f"{address}?{query}").status_code == 400


def _offered(client):
    """Each list with the addresses of its filters, by the names that a filter asks with."""
    for address in _lists():
        page = client.get(address).content.decode()
        offers = defaultdict(list)
        for query in sorted({html.unescape(found) for found in re.findall(r'href="(\?[^"]+)"', page)}):
            offers[tuple(sorted(parse_qs(query[1:], keep_blank_values=True)))].append(query)
        yield address, offers.values()


def _assert_answered(client, addresses):
    for address in addresses:
        answer = client.get(address)
        assert (answer.status_code, answer.get("location")) == (200, None), address


def test_a_value_of_every_filter_that_a_list_offers_is_answered(world):
    issued(world)
    client = signed_in(world.admin)
    addresses = [address + values[-1] for address, offers in _offered(client) for values in offers]
    assert len(addresses) > 30
    _assert_answered(client, addresses)


@pytest.mark.long
def test_every_value_of_every_filter_that_a_list_offers_is_answered(world):
    issued(world)
    client = signed_in(world.admin)
    _assert_answered(
        client, [address + each for address, offers in _offered(client) for values in offers for each in values]
    )


@pytest.mark.parametrize(
    "span",
    [
        {"year": "2024", "month": "13"},
        {"year": "2024", "month": "0"},
        {"year": "2024", "month": "2", "day": "30"},
        {"year": "2024", "month": "99999999999999999999"},
        {"year": "2024", "day": "1"},
        {"year": ["2024", "2025"]},
        {"year": "9999", "month": "12", "day": "31"},
        {"year": "0"},
        {"month": "99999999999999999999"},
        {"day": "99999999999999999999"},
        {"month": "1", "day": "-1"},
        {"year": "2024", "month": "\uff11"},
    ],
)
def test_days_no_calendar_has_lead_back_to_the_list(world, span):
    client = signed_in(world.admin)
    places = [place for place in admin.site._registry.values() if place.date_hierarchy]
    assert places
    for place in places:
        address = reverse(f"admin:keys_{place.opts.model_name}_changelist")
        query = {f"{place.date_hierarchy}__{unit}": value for unit, value in span.items()}
        answer = client.get(address, query)
        assert (answer.status_code, answer["location"]) == (302, address)
        sound = {
            f"{place.date_hierarchy}__{unit}": value for unit, value in (("year", 2024), ("month", 2), ("day", 29))
        }
        assert client.get(address, sound).status_code == 200


@pytest.mark.parametrize("model", ["managedkey", "keyrequest", "keyversion", "approval", "person"])
def test_a_longer_list_asks_no_more_queries(world, model):
    client = signed_in(world.admin)
    address = reverse(f"admin:keys_{model}_changelist")
    issued(world)

    def queries():
        with CaptureQueriesContext(
            connection,
        ) as asked:
            assert client.get(address).status_code == 200
        return len(asked)

    queries()
    before = queries()
    for number in range(3):
        approved(world, name=f"Report {number}")
        submitted(world, name=f"Wish {number}")
    assert queries() == before


def test_a_page_of_the_log_asks_few_queries(world):
    client = signed_in(world.auditor)
    issued(world)
    client.get("/audit/")
    with CaptureQueriesContext(connection) as asked:
        assert len(client.get("/audit/").context["rows"]) == 50
    assert len(asked) <= 35


@pytest.mark.parametrize(
    "address", ["not-a-uuid/change/", "not-a-uuid/acts/revoke/", "00000000-0000-0000-0000-000000000000/change/"]
)
def test_what_does_not_exist_is_not_found(world, address):
    client = signed_in(world.admin, "*")
    assert client.get("/admin/keys/managedkey/" + address).status_code == 404


def test_an_act_that_is_not_offered_here_is_not_found(world):
    key = issued(world)[0]
    client = signed_in(world.admin, "*")
    assert client.post(reverse("admin:keys_managedkey_act", args=[key.pk, "destroy"])).status_code == 404
    assert client.get(reverse("admin:keys_managedkey_add")).status_code == 404
    assert client.post(reverse("admin:keys_managedkey_bulk", args=["destroy"])).status_code == 404


def test_auditors_land_at_the_log(world):
    assert signed_in(world.auditor).get("/")["location"] == "/audit/"


def test_health_is_for_signed_in_people_and_for_programs_that_may_know(world, client):
    assert client.get("/health/").status_code == 302
    assert client.get("/status", headers={"Accept": "text/html"}).status_code == 302
    page = signed_in(world.alice).get("/status", headers={"Accept": "text/html"})
    assert "Scheduler" in page.content.decode()
    assert client.get("/status", headers={"Accept": "application/json"}).json()["parts"]["database"]["ok"]
    outside = client.get("/status", headers={"Accept": "application/json"}, REMOTE_ADDR="203.0.113.7")
    assert outside.status_code == 404


def test_decisions_say_in_words_how_they_were_confirmed(world):
    approved(world)
    page = signed_in(world.admin).get(reverse("admin:keys_approval_changelist")).content.decode()
    assert "a code from an app" in page
    assert ">totp<" not in re.sub(r"\s+", "", page)
