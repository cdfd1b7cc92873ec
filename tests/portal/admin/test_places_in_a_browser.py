"""The places of administrators and auditors in Chromium: no breach of the policy, no axe finding, no sideways scrolling."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.conf import settings
from django.urls import reverse

from audit.models import AuditEvent
from keys.catalogue.policies import current_policy, rules_of, set_policy
from keys.models import Environment, PolicyProposal
from tests.people import World, acting, issued, submitted
from tests.portal.api.sessions import session_cookie
from tests.portal.browser import APART, VIEWS, Visit

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("sealing")]


@pytest.fixture
def furnished(world: World) -> World:
    issued(world)
    submitted(world, name="Hourly report")
    issued(world, name="Trades", environment="test", scopes=("orders:write", "orders:read"))
    production = Environment.objects.get(tag="prod")
    policy = current_policy(world.orders, production)
    weaker = replace(rules_of(policy), approvals_required=1, max_cryptoperiod_days=200, networks_required=True)
    set_policy(
        world.orders,
        environment=production,
        rules=weaker,
        base_version=policy.version,
        actor=acting(world.admin2, "policy"),
    )
    return world


def _addresses(world: World) -> dict[str, list[str]]:
    key = world.orders.keys.order_by("number").first()
    request = world.orders.requests.order_by("-number").first()
    proposal = PolicyProposal.objects.get()
    policy = current_policy(world.orders, Environment.objects.get(tag="prod"))
    event = AuditEvent.objects.with_action("person.invited").newest_first().first()
    return {
        "admin": [
            "/admin/",
            "/admin/keys/managedkey/",
            "/admin/keys/managedkey/?q=report&standing=active",
            "/admin/keys/keyrequest/",
            "/admin/keys/person/",
            reverse("admin:keys_managedkey_change", args=[key.pk]),
            reverse("admin:keys_managedkey_act", args=[key.pk, "revoke"]),
            reverse("admin:keys_keyrequest_act", args=[request.pk, "approve"]),
            reverse("admin:keys_service_change", args=[world.orders.pk]),
            reverse("admin:keys_service_act", args=[world.orders.pk, "retire"]),
            reverse("admin:keys_team_act", args=[world.reporting.pk, "add-member"]),
            reverse("admin:keys_policy_act", args=[policy.pk, "new-version"]),
            reverse("admin:keys_policyproposal_act", args=[proposal.pk, "accept"]),
            reverse("admin:keys_person_add"),
            reverse("policy_proposals"),
            reverse("policy_proposal", args=[proposal.pk]),
            "/health/",
        ],
        "auditor": [
            "/audit/",
            "/audit/?target=KEY-1&outcome=success",
            "/audit/?who=al",
            reverse("audit_event", args=[event.uid]),
            reverse("key_life", args=[key.number]),
            reverse("audit_export") + f"?target=key:{key.pk}",
            "/audit/lives/?key=nothing",
        ],
    }


def _sign_in(browser: Visit, url: str, person: object) -> None:
    browser.context.add_cookies(
        [{"name": settings.SESSION_COOKIE_NAME, "value": session_cookie(person, "policy"), "url": url}]  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("apart", APART)
@pytest.mark.parametrize("who", ["admin", "auditor"])
def test_pages_are_clean(furnished: World, portal_server, visit: Visit, who: str, apart: int) -> None:
    _sign_in(visit, portal_server.url, getattr(furnished, who))
    visit.page.set_default_timeout(10_000)
    found = []
    for place, address in enumerate(_addresses(furnished)[who]):
        visit.page.goto(portal_server.url + address)
        found += visit.amiss(address, views=VIEWS[:1] if place % apart else VIEWS)
    # A page that answers 404 or 422 on purpose is told by the browser's console; nothing else may be.
    assert [each for each in visit.mistakes if "status of 4" not in each] == []
    assert found == []


def test_choosing_many_and_looking_before_acting_needs_no_other_script(
    furnished: World,
    portal_server,
    visit: Visit,
) -> None:
    _sign_in(visit, portal_server.url, furnished.admin)
    page = visit.page
    page.goto(portal_server.url + "/admin/keys/managedkey/")
    page.check("#action-toggle")
    assert page.locator("input.action-select:checked").count() == 2
    page.select_option("select[name=action]", "suspend")
    page.click("button[name=index]")
    assert "suspend 2 keys" in page.inner_text("main")
    assert visit.amiss("suspend 2 keys", after_click=True) == []
