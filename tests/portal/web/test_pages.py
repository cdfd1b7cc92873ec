"""Every page: 200 for who may, the same 404 for Mallory as for nothing, no state change by GET, and few queries."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import get_resolver

from audit.models import AuditEvent
from keys.approvals.submission import submit_request
from keys.lifecycle.handover import offer_transfer
from keys.models import ManagedKey
from keys.states import RevocationReason
from portal.web.urls import urlpatterns
from tests.people import World, acting, approved, draft, issued, submitted

pytestmark = pytest.mark.django_db
Browser = Callable[..., Client]
UUID = re.compile(r">[^<]*[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def same(answer: object) -> str:
    """A page without what differs between any two answers: tokens, nonces, the id of the request."""
    text = answer.content.decode()  # type: ignore[attr-defined]
    text = re.sub(r'(name="csrfmiddlewaretoken" value="|X-CSRFToken": ")[^"]+', "", text)
    return re.sub(r"<code>[0-9a-f]{32}</code>", "", re.sub(r'nonce="[^"]+"', "", text))


PATHS = [
    "/",
    "/keys/",
    "/requests/",
    "/requests/?whose=team",
    "/requests/?whose=all&state=pending&environment=prod&service=orders&q=REQ-1",
    "/requests/new/",
    "/requests/new/?service=orders&environment=prod",
    "/requests/new/?service=orders&environment=nowhere",
    "/requests/new/?service=keystead&environment=prod",
    "/inbox/",
    "/inbox/?environment=prod",
    "/services/",
    "/services/?q=ord",
    "/services/orders/",
    "/team/",
    "/team/reporting/",
    "/?state=active&environment=dev&service=orders&q=nightly&sort=-authorised_until",
    "/?state=ending",
    "/?state=nonsense&sort=password&cursor=zzz",
]


@pytest.mark.parametrize("who", ["alice", "bob", "mallory", "admin", "responder", "auditor"])
def test_a_page_opens_for_everybody_who_is_signed_in(world: World, as_: Browser, who: str) -> None:
    issued(world)
    submitted(world, scopes=("orders:write",))
    browser = as_(who)
    for path in PATHS:
        answer = browser.get(path)
        if (who, path) == ("auditor", "/"):
            assert answer["location"] == "/audit/"  # who only reads lands at the log
            continue
        assert answer.status_code == 200, path
        assert answer["Cache-Control"] == "no-store, private"
        assert not UUID.search(answer.content.decode()), f"a bare identifier on {path}"


def test_without_a_second_factor_every_page_leads_to_the_door(client: Client) -> None:
    for pattern in urlpatterns:
        path = "/" + re.sub(r"<int:\w+>", "1001", re.sub(r"<slug:\w+>", "orders", str(pattern.pattern)))
        path = re.sub(r"<uuid:\w+>", "019a0000-0000-7000-8000-000000000000", path)
        answer = client.get(path)
        assert answer.status_code in (302, 405), path
        if answer.status_code == 302:
            assert answer["Location"].startswith("/sign-in/"), path


KEY_PAGES = [
    "",
    "?view=use",
    "?view=life",
    "claim/",
    "replace/",
    "renew/",
    "suspend/",
    "revoke/",
    "hand-over/",
]


def test_a_keys_pages_open_for_its_owner(world: World, as_: Browser) -> None:
    key, _, secret = issued(world)
    alice = as_("alice")
    for page in KEY_PAGES:
        answer = alice.get(f"/keys/{key.number}/{page}")
        assert answer.status_code == 200, page
        assert secret.reveal() not in answer.content.decode()
        assert not UUID.search(answer.content.decode()), page


def test_what_mallory_may_not_see_answers_as_what_does_not_exist(world: World, as_: Browser) -> None:
    key = approved(world)
    mallory = as_("mallory")
    for page in [*KEY_PAGES, "leaked/", "reinstate/", "transfer/"]:
        there, nowhere = mallory.get(f"/keys/{key.number}/{page}"), mallory.get(f"/keys/999999/{page}")
        assert (there.status_code, nowhere.status_code) == (404, 404), page
        assert same(there) == same(nowhere), page


@pytest.mark.parametrize("page", ["", "edit/", "content.json"])
def test_a_request_opens_for_its_requester_and_does_not_exist_for_mallory(
    world: World, as_: Browser, page: str
) -> None:
    request = submitted(world)
    assert as_("alice").get(f"/requests/{request.number}/{page}").status_code == 200
    there = as_("mallory").get(f"/requests/{request.number}/{page}")
    nowhere = as_("mallory").get(f"/requests/999999/{page}")
    assert (there.status_code, same(there)) == (404, same(nowhere))


@pytest.mark.parametrize(
    "path",
    ["/keys/99999999999999999999999999/", f"/requests/{'9' * 400}/", "/team/nobody/", "/services/nothing/"],
)
def test_an_odd_address_is_a_page_that_does_not_exist(world: World, as_: Browser, path: str) -> None:
    assert as_("admin").get(path).status_code == 404


def test_reading_pages_changes_nothing_and_records_nothing(world: World, as_: Browser) -> None:
    key, _, _ = issued(world)
    request = submitted(world)
    alice, before = as_("alice"), AuditEvent.objects.count()
    for path in (
        "/",
        "/requests/",
        f"/keys/{key.number}/",
        f"/keys/{key.number}/claim/",
        f"/requests/{request.number}/",
    ):
        alice.get(path)
    assert AuditEvent.objects.count() == before


FORMS = [
    "/requests/new/?service=orders&environment=prod",
    "/requests/{request}/edit/",
    "/requests/{request}/withdraw/",
    "/requests/{request}/nudge/",
    "/requests/{request}/decide/",
    "/requests/{request}/statement/",
    "/keys/{key}/claim/",
    "/keys/{key}/replace/",
    "/keys/{key}/renew/",
    "/keys/{key}/suspend/",
    "/keys/{key}/reinstate/",
    "/keys/{key}/revoke/",
    "/keys/{key}/leak/",
    "/keys/{key}/hand-over/",
    "/keys/{key}/transfer/",
]


def test_a_form_from_elsewhere_is_refused(world: World, as_: Browser) -> None:
    key, request = approved(world), submitted(world)
    before = AuditEvent.objects.count()
    browser = as_("alice", "claim", "revoke", "suspend", "approve", strict=True)
    for path in FORMS:
        answer = browser.post(path.format(key=key.number, request=request.number), {"reason": "superseded"})
        assert answer.status_code == 403, path
        assert "csrf_failed" in answer.content.decode()
    assert AuditEvent.objects.count() == before


@pytest.mark.parametrize(("path", "most"), [("/", 40), ("/keys/", 24), ("/requests/?whose=all", 20), ("/inbox/", 20)])
def test_a_list_asks_the_same_number_of_questions_however_long_it_is(
    world: World, as_: Browser, path: str, most: int
) -> None:
    def questions() -> int:
        browser = as_("bob")
        with CaptureQueriesContext(
            connection,
        ) as asked:
            assert browser.get(path).status_code == 200
        return len(asked)

    issued(world)
    submitted(world)
    few = questions()
    for number in range(3):
        issued(world, name=f"Key {number}")
        submitted(world, name=f"Wish {number}")
    assert questions() <= few
    assert few <= most


def test_every_address_is_named_once() -> None:
    names = [pattern.name for pattern in urlpatterns]
    assert len(names) == len(set(names))
    assert get_resolver().reverse_dict.getlist("keys")


def test_all_keys_is_a_place_of_responders_and_not_of_developers(world: World, as_: Browser) -> None:
    assert 'href="/keys/"' in as_("responder").get("/").content.decode()
    assert 'href="/keys/"' not in as_("alice").get("/").content.decode()


def test_a_key_leads_back_to_the_list_from_which_somebody_came(world: World, as_: Browser) -> None:
    key, _, _ = issued(world)
    for who, back in (("alice", '<a href="/">My keys</a>'), ("responder", '<a href="/keys/">All keys</a>')):
        for address in (f"/keys/{key.number}/", f"/keys/{key.number}/revoke/"):
            page = as_(who).get(address).content.decode()
            crumbs = page[page.index('class="crumbs') :].partition("</nav>")[0]
            assert back in crumbs, address


def test_the_start_page_says_what_needs_action_first(world: World, as_: Browser) -> None:
    key = approved(world)
    offered, _, _ = issued(world, name="For the orders team")
    offer_transfer(offered, to_team=world.orders_team, actor=acting(world.alice, "handover"))
    page = as_("alice").get("/").content.decode()
    assert f"Claim the secret of {key.name}" in page
    assert f'href="/keys/{key.number}/claim/"' in page
    assert "offers For the orders team" in as_("bob").get("/").content.decode()
    assert "offers For the orders team" not in page


def test_a_newcomer_is_told_the_next_step(world: World, as_: Browser) -> None:
    page = as_("carol").get("/").content.decode()
    assert "No keys yet" in page
    assert 'href="/requests/new/"' in page


def test_keys_are_found_by_name_number_kid_and_state(world: World, as_: Browser) -> None:
    key, version, _ = issued(world, name="Findable")
    revoked, _, _ = issued(world, name="Gone")
    from keys.lifecycle.revocation import revoke_key

    revoke_key(revoked, actor=acting(world.alice, "revoke"), reason=RevocationReason.SUPERSEDED)
    alice = as_("alice")

    def names(query: str) -> list[str]:
        lines = alice.get("/", dict(pair.split("=") for pair in query.split("&"))).context["listing"].lines
        return [line.key.name for line in lines]

    assert names("q=finda") == ["Findable"]
    assert names(f"q=KEY-{key.number}") == ["Findable"]
    assert names(f"q={version.kid}") == ["Findable"]
    assert names(f"q=ks_prod_{version.kid}_") == ["Findable"]
    assert names("state=revoked") == ["Gone"]
    assert names("state=active") == ["Findable"]
    assert names("state=active&environment=dev") == []


def test_the_state_of_the_list_and_of_the_filter_agree(world: World, as_: Browser) -> None:
    approved(world, name="Waits")
    issued(world, name="Works")
    from keys.lifecycle.revocation import report_leak

    leaked, _, _ = issued(world, name="Leaked")
    report_leak(leaked, actor=acting(world.alice))
    alice = as_("alice")
    shown = {line.key.pk: line.standing for line in alice.get("/").context["listing"].lines}
    assert len(shown) == ManagedKey.objects.count() == 3
    for standing in {*shown.values()}:
        filtered = {line.key.pk for line in alice.get("/", {"state": standing}).context["listing"].lines}
        assert filtered == {pk for pk, each in shown.items() if each == standing}


def test_a_development_key_exists_at_once(world: World, as_: Browser) -> None:
    request = submit_request(draft(world, environment="dev"), actor=acting(world.alice))
    page = as_("alice").get(f"/requests/{request.number}/").content.decode()
    assert "To the key" in page


def test_a_service_and_its_team_of_the_same_name_have_titles_of_their_own(world: World, as_: Browser) -> None:
    bob = as_("bob")
    pages = ("/services/orders/", "/team/orders/", "/team/orders/chats/new/")
    titles = [re.findall("<title>(.*?)</title>", bob.get(page).content.decode())[0] for page in pages]
    assert titles == ["Orders · Services · Keystead", "Orders · Teams · Keystead", "Add a chat · Orders · Keystead"]
