"""Every page in Chromium, light, dark and narrow: no axe finding, no breach of the policy, no sideways scrolling."""

from __future__ import annotations

from datetime import timedelta

import pytest
from playwright.sync_api import Browser

from audit import clock
from keys.approvals.decisions import approve_request, deny_request, return_request
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.fetching import fetch_next
from keys.lifecycle.handover import offer_transfer
from keys.lifecycle.revocation import report_leak, revoke_key
from keys.lifecycle.rotation import issue_new_version, start_rotation, undo_rotation
from keys.models import ManagedKey, RevocationReceipt, Sighting, UsageCount
from keys.people.roles import rename_person
from keys.states import Overlap, RevocationReason
from keys.verification.watching.receipts import How
from tests.fetching import INSIDE, TOKEN, client_of, due, fetching
from tests.keys.verification.following import following
from tests.people import World, acting, approved, issued, submitted
from tests.portal.browser import APART
from tests.portal.web.looking import amiss, browser_of
from tests.servers import PortalServer

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("sealing")]


def furnished(world: World) -> dict[str, list[str]]:
    """Fill the house with keys and requests in every state; the paths to look at, by person."""
    working, version, _ = issued(world, name="Settlement report", scopes=("orders:read", "orders:write"))
    at = clock.now()
    for back in range(6):
        hour = (at - timedelta(days=back)).replace(minute=0, second=0, microsecond=0)
        UsageCount.objects.create(version=version, outcome="valid", hour=hour, count=40 - back, last_at=at)
    UsageCount.objects.create(version=version, outcome="scope", hour=hour, count=2, last_at=at)
    Sighting.objects.create(
        version=version, address="10.20.0.5", user_agent="report/2", instance="a", first_at=at, last_at=at, count=7
    )
    waiting = approved(world, name="Waits to be claimed")
    leaked, _, _ = issued(world, name="Leaked")
    report_leak(leaked, actor=acting(world.alice), comment="In a gist.")
    revoked, _, _ = issued(world, name="Revoked")
    revoke_key(revoked, actor=acting(world.alice, "revoke"), reason=RevocationReason.SUPERSEDED)
    words = [{"verifier": "v", "name": f"rack-{number}:4711", "how": how, "at": ""} for number, how in enumerate(How)]
    RevocationReceipt.objects.create(
        managed_key=revoked,
        action="revoked",
        committed_at=at,
        answered_at=at + timedelta(milliseconds=12),
        verifiers=words,
    )
    following("rack-7:4711")
    offered, _, _ = issued(world, name="Offered")
    offer_transfer(offered, to_team=world.orders_team, actor=acting(world.alice, "handover"), comment="Yours now.")
    twice, _, _ = issued(world, name="Replaced")
    issue_new_version(twice, actor=acting(world.alice, "claim"))
    rotated = both_work(world)
    undone = both_work(world, name="Undone", overlap=Overlap.HOUR)
    undo_rotation(undone.rotations.open().get(), actor=acting(world.alice, "claim"))
    fetched, old, _ = fetching(world, name="Fetched")
    due(world, fetched)
    fetch_next(old, token=TOKEN, address=INSIDE, actor=client_of(fetched))
    wish = {"scopes": ("orders:read", "orders:write"), "networks": ("10.1.0.0/16",), "overlap": "1h", "every_days": 7}
    pending = submitted(world, name="Pending", self_fetch=True, **wish)
    approve_request(pending, digest=pending.digest, actor=acting(world.carol, "approve"), comment="Fine.")
    returned = submitted(world, name="Returned")
    return_request(returned, digest=returned.digest, question="Which report?", actor=acting(world.bob, "approve"))
    denied = submitted(world, name="Denied")
    deny_request(denied, digest=denied.digest, comment="Use the feed.", actor=acting(world.bob, "approve"))
    key, request = f"/keys/{working.number}/", f"/requests/{pending.number}/"
    return {
        "alice": [
            "/", "/?state=revoked&q=nothing", "/requests/", "/requests/new/", "/requests/new/?service=orders&environment=prod",
            "/inbox/", "/services/", "/services/orders/", "/team/", "/team/reporting/",
            key, f"{key}?view=use", f"{key}?view=life", f"{key}claim/", f"{key}replace/", f"{key}renew/", f"{key}suspend/",
            f"{key}revoke/", f"{key}hand-over/", f"/keys/{waiting.number}/", f"/keys/{waiting.number}/claim/",
            f"/keys/{leaked.number}/", f"/keys/{leaked.number}/leaked/", f"/keys/{revoked.number}/", f"/keys/{twice.number}/",
            "/rotations/", "/rotations/?state=handed-over", f"{key}rotate/", f"{key}rotation/",
            f"/keys/{rotated.number}/", f"/keys/{rotated.number}/rotation/", f"/keys/{rotated.number}/rotation/undo/",
            f"/keys/{rotated.number}/?view=life", f"/keys/{undone.number}/rotation/",
            f"/keys/{twice.number}/rotation/", f"/keys/{twice.number}/rotation/stop/", f"/keys/{twice.number}/claim/",
            f"/keys/{fetched.number}/", f"/keys/{fetched.number}/claim/", f"/keys/{fetched.number}/rotation/",
            f"/keys/{fetched.number}/rotation/take-back/", f"{key}recipient/",
            f"/keys/{offered.number}/transfer/", request, f"{request}edit/", f"/requests/{returned.number}/",
            f"/requests/{denied.number}/",
        ],
        "bob": ["/", "/inbox/", request, f"/keys/{offered.number}/transfer/", "/requests/?whose=all"],
        "responder": ["/emergency/?team=reporting", "/keys/", f"/keys/{leaked.number}/", f"/keys/{leaked.number}/reinstate/"],
        "admin": ["/health/verifiers/", f"/keys/{revoked.number}/", "/rotations/", f"/keys/{rotated.number}/rotation/end/"],
        "mallory": ["/", key, "/rotations/"],
    }  # fmt: skip


def both_work(world: World, *, name: str = "Both work", overlap: Overlap = Overlap.WHEN_IDLE) -> ManagedKey:
    """A key in the middle of its rotation, with clients that have moved and others that have not."""
    key, old, _ = issued(world, name=name)
    rotation = start_rotation(key, overlap=overlap, actor=acting(world.alice, "claim"))
    new = rotation.new_version
    assert new is not None
    claim_secret(new, actor=acting(world.alice, "claim"))
    at = clock.now()
    for back in range(20):
        hour = (at - timedelta(hours=back)).replace(minute=0, second=0, microsecond=0)
        UsageCount.objects.create(version=old, outcome="valid", hour=hour, count=30 + 3 * back, last_at=at)
        if back < 5:
            UsageCount.objects.create(version=new, outcome="valid", hour=hour, count=70 - 9 * back, last_at=at)
    for place, (version, ago) in enumerate([(old, 60), (new, 0), (old, 2)]):
        seen_at = at - timedelta(minutes=ago)
        Sighting.objects.create(
            version=version, address=f"10.20.0.{5 + place // 2}", user_agent="report/2", instance="report-builder-7d9f-x2",
            first_at=seen_at, last_at=seen_at, count=40,
        )  # fmt: skip
    return key


@pytest.mark.parametrize("apart", APART)
def test_every_page_is_accessible_keeps_the_policy_and_fits(
    chromium: Browser,
    portal_server: PortalServer,
    world: World,
    apart: int,
) -> None:
    assert ManagedKey.objects.count() == 0
    paths = furnished(world)
    found = [
        each
        for who, pages in paths.items()
        for each in amiss(getattr(world, who), pages, chromium, portal_server, all_there=False, apart=apart)
    ]
    assert found == []


UNDER_LABELS = """[...document.querySelectorAll('td[data-label] > *')].filter((each) =>
    each.getBoundingClientRect().left < each.parentElement.getBoundingClientRect().left + 90).map((each) => each.textContent)"""
TOO_WIDE = "[...document.querySelectorAll('.tile')].filter((each) => each.scrollWidth > each.clientWidth).length"


def test_small_phones_show_whole_keys_and_the_bar_has_no_row_for_the_account_alone(
    chromium: Browser,
    portal_server: PortalServer,
    world: World,
) -> None:
    issued(world)
    phone = browser_of(world.alice, chromium, portal_server, ({"width": 360, "height": 780}, "light"))
    phone.page.goto(portal_server.url)
    cut = "[...document.querySelectorAll('.table-region')].filter((each) => each.scrollWidth > each.clientWidth).length"
    assert phone.page.locator(".key-text").count() == 1
    assert phone.page.evaluate(cut) == 0
    submitted(world)
    phone.page.goto(f"{portal_server.url}/requests/")
    assert phone.page.evaluate(UNDER_LABELS) == [], "what stands in a cell stands beside its label"
    key, version, _ = issued(world, name="Used")
    at = clock.now() - timedelta(minutes=45)
    hour = at.replace(minute=0, second=0, microsecond=0)
    UsageCount.objects.create(version=version, outcome="valid", hour=hour, count=40, last_at=at)
    phone.page.goto(f"{portal_server.url}/keys/{key.number}/?view=use")
    assert phone.page.locator(".tile").count() == 3
    assert phone.page.evaluate(TOO_WIDE) == 0
    desk = browser_of(world.auditor, chromium, portal_server)
    desk.page.goto(f"{portal_server.url}/audit/")
    brand, account = (desk.page.locator(each).bounding_box() for each in (".brand", ".topbar-end"))
    assert brand is not None
    assert account is not None
    assert abs(brand["y"] + brand["height"] / 2 - account["y"] - account["height"] / 2) < 8
    for each in (phone, desk):
        each.context.close()


# Where the letters of a line end and where the time behind them begins.
BEFORE_TIMES = """() => [...document.querySelectorAll(".timeline-meta")].map((line) => {
  const words = document.createRange();
  words.selectNode(line.firstChild);
  return [words.getBoundingClientRect().right, line.querySelector("time").getBoundingClientRect().left];
})"""


def test_a_time_stands_behind_a_name_that_is_written_from_right_to_left(
    chromium: Browser, portal_server: PortalServer, world: World
) -> None:
    rename_person(world.alice, actor=acting(world.alice), name="\u05d0\u05dc\u05d9\u05e1")
    request = submitted(world)
    visit = browser_of(world.bob, chromium, portal_server)
    visit.page.goto(f"{portal_server.url}/requests/{request.number}/")
    visit.page.evaluate(
        "document.querySelectorAll('.timeline-meta time').forEach((each) => { each.textContent = '24 minutes ago'; })"
    )
    found = visit.page.evaluate(BEFORE_TIMES)
    assert found
    assert all(end <= begin + 1 for end, begin in found), found
    visit.context.close()


OVERLAPPING = """() => {
  const words = [...document.querySelectorAll(".chart text")].map((each) => [each.textContent, each.getBoundingClientRect()]);
  const shown = words.filter(([, box]) => box.width > 0);
  const meets = (one, other) => one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;
  return [shown.length, shown.flatMap(([name, box], at) =>
    shown.slice(at + 1).filter(([, other]) => meets(box, other)).map(([other]) => `${name} over ${other}`))];
}"""


@pytest.mark.parametrize("most", [7, 98_765_432])
def test_no_label_of_a_chart_lies_over_another(
    chromium: Browser, portal_server: PortalServer, world: World, most: int
) -> None:
    key, version, _ = issued(world, name="Used each day")
    at = clock.now()
    for back in range(14):
        hour = (at - timedelta(days=back)).replace(minute=0, second=0, microsecond=0)
        UsageCount.objects.create(version=version, outcome="valid", hour=hour, count=most - back % 3, last_at=at)
    rotated = both_work(world)
    visit = browser_of(world.alice, chromium, portal_server)
    for path in (f"/keys/{key.number}/?view=use", f"/keys/{rotated.number}/rotation/"):
        visit.page.goto(portal_server.url + path)
        for width in (360, 480, 700, 1280):
            visit.show(({"width": width, "height": 780}, "light"))
            shown, overlapping = visit.page.evaluate(OVERLAPPING)
            assert shown > 4, "some are there"
            assert overlapping == [], (path, width)
            assert visit.page.evaluate(TOO_WIDE) == 0, "the same numbers as tiles"
    visit.context.close()
