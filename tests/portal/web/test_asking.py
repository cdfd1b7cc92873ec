"""Ask through the pages: typed text survives a refusal, the policy's words stand beside the field."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.test import Client

from audit import clock
from keys.catalogue.policies import add_version, rules_of
from keys.catalogue.services import save_template
from keys.models import Approval, Environment, KeyRequest, ManagedKey, Policy
from tests.fetching import let_clients_fetch
from tests.people import SYSTEM, World, acting, issued, submitted

pytestmark = pytest.mark.django_db
Browser = Callable[..., Client]
PRODUCTION = "/requests/new/?service=orders&environment=prod"


def wish(world: World, **changes: object) -> dict[str, object]:
    return {
        "name": "Nightly report",
        "consumer": "report-builder",
        "owner_team": "reporting",
        "recipient": str(world.alice.pk),
        "scopes": ["orders:read"],
        "cryptoperiod_days": "30",
        "authorised_days": "90",
        "networks": "10.20.0.0/16\n10.9.0.0/16",
        "purpose": "Build the nightly settlement report.",
        "ticket": "",
        "template": "",
    } | changes


def test_a_request_is_sent_and_waits(world: World, as_: Browser) -> None:
    answer = as_("alice").post(PRODUCTION, wish(world))
    request = KeyRequest.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, f"/requests/{request.number}/")
    assert request.state == "pending"
    assert request.content["networks"] == ["10.9.0.0/16", "10.20.0.0/16"]
    assert request.content["authorised_days"] == 90


def test_where_nobody_has_to_approve_the_next_page_is_the_key(world: World, as_: Browser) -> None:
    answer = as_("alice").post("/requests/new/?service=orders&environment=dev", wish(world))
    assert answer["Location"] == f"/keys/{ManagedKey.objects.get().number}/"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cryptoperiod_days": "3000"}, "The policy allows at most 90 days."),
        ({"cryptoperiod_days": "90", "authorised_days": "30"}, "A secret cannot live longer than the key is authorised"),
        ({"cryptoperiod_days": "\uff13\uff10"}, "Give a number of days."),
        ({"cryptoperiod_days": "-1"}, "Give a number of days."),
        ({"cryptoperiod_days": "0"}, "It has to lie between 1 and 3650."),
        ({"cryptoperiod_days": ""}, "This field is required."),
        ({"networks": "10.20.0.1/16"}, "is not a network"),
        ({"networks": "0.0.0.0/0"}, "means every address"),
        ({"scopes": []}, "Choose at least one."),
        ({"scopes": ["orders:everything"]}, "Select a valid choice."),
        ({"name": "a\u202eb"}, "There are characters in it that cannot be seen."),
        ({"name": "x" * 81}, "at most 80 characters"),
        ({"purpose": "too short"}, "At least 10 characters."),
        ({"purpose": "My key is ks_prod_0000000000000000_" + "A" * 49}, "looks like a secret"),
        ({"owner_team": "wallets"}, "Select a valid choice."),
        ({"recipient": "nobody"}, "Select a valid choice."),
        ({"every_days": "30"}, "Each secret is replaced before it ends anyway: choose at most 29 days"),
        ({"every_days": "1", "overlap": "7d"}, "The old secret would still work when the next one is due."),
        ({"every_days": "soon"}, "Give a number of days."),
        ({"overlap": "30d"}, "Select a valid choice."),
    ],
)  # fmt: skip
def test_a_refusal_keeps_what_was_typed_and_says_why(
    world: World, as_: Browser, changes: dict[str, object], words: str
) -> None:
    answer = as_("alice").post(PRODUCTION, wish(world, consumer="kept <text>", **changes))
    page = answer.content.decode()
    assert answer.status_code == 422
    assert words in page
    assert "kept &lt;text&gt;" in page
    assert "data-error-summary" in page
    assert not KeyRequest.objects.exists()


def test_all_that_is_missing_is_told_at_once_in_the_order_of_the_page(world: World, as_: Browser) -> None:
    form = as_("alice").post(PRODUCTION, wish(world, scopes=[], name="", consumer="", purpose="")).context["form"]
    assert list(form.errors) == ["scopes", "name", "consumer", "purpose"]


# Of every kind: what the form cannot read, what the operation cannot, and what the policy forbids.
WRONG: dict[str, object] = {
    "scopes": [],
    "cryptoperiod_days": "soon",
    "authorised_days": "3000",
    "name": "a\u202eb",
    "consumer": "",
    "networks": "10.20.0.1/16",
    "every_days": "365",
    "purpose": "too short",
    "ticket": "CHG-" + "1" * 57,
}


def marked(page: Any) -> list[str]:  # Any: an answer with the context that the test client keeps
    """The fields beside which something is said, in the order of the page; what stands apart from all of them has no name."""
    form = page.context["form"]
    assert all(len(said) == 1 for said in form.errors.values()), "one reason for each field"
    return [""] * len(form.non_field_errors()) + [bound.name for bound in form if bound.errors]


def test_all_mistakes_are_told_at_once_each_beside_its_field(world: World, as_: Browser) -> None:
    answer = as_("alice").post(PRODUCTION, wish(world, **WRONG))
    page = answer.content.decode()
    assert answer.status_code == 422
    assert marked(answer) == list(WRONG)
    places = [page.index(f'id="id_{name}_error"') for name in WRONG]
    assert places == sorted(places), "beside the fields, in the order of the page and of the list above it"
    assert "There are 9 things to mend" in page
    assert "<title>To mend: Request a key" in page
    described = set(" ".join(re.findall(r'aria-describedby="([^"]+)"', page)).split())
    assert {f"id_{name}_error" for name in WRONG} <= described, "whoever cannot see them hears them at the field"


def test_what_can_be_read_is_not_blamed_for_what_cannot(world: World, as_: Browser) -> None:
    let_clients_fetch(world)
    alone: list[dict[str, object]] = [
        {"networks": "10.20.0.1/16", "self_fetch": "on"},
        {"networks": "10.20.0.0/16 " * 200, "self_fetch": "on"},
        {"cryptoperiod_days": "", "every_days": "7"},
        {"authorised_days": ""},
        {"recipient": "nobody"},
        {"owner_team": "wallets"},
    ]
    for changes in alone:
        assert marked(as_("alice").post(PRODUCTION, wish(world, **changes))) == [next(iter(changes))], changes


def test_an_edit_and_a_renewal_tell_all_mistakes_at_once_too(world: World, as_: Browser) -> None:
    request, (key, _, _) = submitted(world), issued(world)
    alice = as_("alice")
    assert marked(alice.post(f"/requests/{request.number}/edit/", wish(world, **WRONG))) == list(WRONG)
    place = Environment.objects.get(tag="prod")
    rules = rules_of(Policy.objects.current().get(service=world.orders, environment=place))
    add_version(world.orders, place, replace(rules, ticket_pattern="CHG-[0-9]+"), actor=SYSTEM, at=clock.now())
    renewal = f"/keys/{key.number}/renew/"
    for days, purpose in (("3000", ""), ("1", "short"), ("", "short"), ("3000", "short")):
        typed = {"authorised_days": days, "purpose": purpose, "ticket": "soon"}
        assert marked(alice.post(renewal, typed)) == list(typed), typed
    assert not KeyRequest.objects.exclude(renews=None).exists()


def test_what_the_policy_forbids_is_shown_and_cannot_be_chosen(world: World, as_: Browser) -> None:
    page = as_("alice").get(PRODUCTION)
    choices = {each.value: each.why_not for each in page.context["form"].cryptoperiod_choices()}
    assert choices[90] == ""
    assert choices[180] == "The policy allows at most 90 days."
    assert 'value="180" disabled' in page.content.decode()
    spans = re.findall(r"at most ([0-9]+ (?:hours|days))[.;]", page.content.decode())
    assert spans.count("14 days") == 2, "in one unit beside the field and among the rules"


def test_how_secrets_are_replaced_is_asked_within_the_policy_and_shown_to_approvers(world: World, as_: Browser) -> None:
    let_clients_fetch(world, allowed=False, longest_overlap_hours=6)
    alice = as_("alice")
    form = alice.get(PRODUCTION).context["form"]
    assert form["overlap"].value() == "6h", "the usual day is more than the policy lets be"
    assert [value for value, _ in form.fields["overlap"].choices] == [
        "now",
        "15m",
        "1h",
        "6h",
        "first-use",
        "when-idle",
    ]
    assert alice.post(PRODUCTION, wish(world, overlap="24h")).status_code == 422
    alice.post(PRODUCTION, wish(world, overlap="1h", every_days="7"))
    request = KeyRequest.objects.get()
    assert request.content["rotation"] == {"overlap": "1h", "every_days": 7}
    page = as_("bob").get(f"/requests/{request.number}/").content.decode()
    assert "<dd>every 7 days, and before it ends</dd>" in page
    assert "<dd>1 hour</dd>" in page
    edited = alice.get(f"/requests/{request.number}/edit/").context["form"]
    assert (edited["overlap"].value(), edited["every_days"].value()) == ("1h", 7)


def test_where_nothing_was_said_the_pages_tell_the_usual_plan_as_far_as_the_policy_lets_it_be(
    world: World, as_: Browser
) -> None:
    request = submitted(world)
    assert "<dd>24 hours</dd>" in as_("bob").get(f"/requests/{request.number}/").content.decode()
    let_clients_fetch(world, allowed=False, longest_overlap_hours=6)
    key = issued(world)[0]
    page = as_("alice").get(f"/keys/{key.number}/").content.decode()
    assert "<dd>before it ends</dd>" in page
    assert "<dd>6 hours</dd>" in page


def test_the_side_panel_names_who_decides_and_never_the_asker(world: World, as_: Browser) -> None:
    page = as_("alice").get(PRODUCTION)
    deciders = page.context["deciders"]
    assert [person.name for person in deciders.service_side] == ["Ben", "Bob"]
    assert [person.name for person in deciders.named] == ["Carol"]
    assert (deciders.required, deciders.service_required, deciders.lapse_days) == (2, 1, 7)
    own = as_("bob").get(PRODUCTION).context["deciders"]
    assert [person.name for person in own.service_side] == ["Ben"]


def test_a_template_fills_the_scopes(world: World, as_: Browser) -> None:
    issued(world)
    save_template(
        world.orders, name="Observer", description="Look only.", scopes=["orders:read"], actor=acting(world.admin, "catalogue")
    )  # fmt: skip
    page = as_("alice").get(f"{PRODUCTION}&template=Observer")
    assert page.context["form"]["scopes"].value() == ["orders:read"]
    assert 'value="orders:read" checked' in page.content.decode()
    beyond = as_("alice").post(PRODUCTION, wish(world, template="Observer", scopes=["orders:read", "orders:write"]))
    detail = as_("bob").get(beyond["Location"]).content.decode()
    assert "More than its template offers: orders:write." in detail
    assert "Difference to the template" in detail
    regions = re.findall(r'<div class="table-region" role="region" aria-label="([^"]+)"', detail)
    assert len(regions) == len(set(regions)) == 2, "each region of a page has a name of its own"


def test_a_policy_that_asks_for_networks_and_a_ticket_says_so(world: World, as_: Browser) -> None:
    place = Environment.objects.get(tag="prod")
    rules = rules_of(Policy.objects.current().get(service=world.orders, environment=place))
    stricter = replace(rules, networks_required=True, ticket_pattern="CHG-[0-9]+")
    add_version(world.orders, place, stricter, actor=SYSTEM, at=clock.now())
    page = as_("alice").get(PRODUCTION).content.decode()
    assert "The policy asks for at least one." in page
    answer = as_("alice").post(PRODUCTION, wish(world, networks="", ticket="soon"))
    assert answer.status_code == 422
    assert KeyRequest.objects.count() == 0


def test_a_verifying_key_names_its_own_teams_service(world: World, as_: Browser) -> None:
    own = "/requests/new/?service=keystead&environment=test"
    page = as_("bob").get(own)
    assert [value for value, _ in page.context["form"].fields["verifies_service"].choices] == ["", "orders"]
    typed = wish(
        world, owner_team="orders", recipient=str(world.bob.pk), scopes=["keys:verify"], verifies_service="orders"
    )
    answer = as_("bob").post(own, typed)
    # Nobody approves for Keystead's own team in this world, and that is said instead of letting it wait.
    assert answer.status_code == 422
    assert "Approvals needed: 1; people who could give one: 0." in answer.content.decode()


def test_an_edit_begins_with_what_was_asked_and_voids_approvals(world: World, as_: Browser) -> None:
    from keys.approvals.decisions import approve_request

    request = submitted(world)
    approve_request(request, digest=request.digest, actor=acting(world.bob, "approve"))
    alice = as_("alice")
    page = alice.get(f"/requests/{request.number}/edit/")
    assert page.context["form"]["purpose"].value() == "Build the nightly settlement report."
    answer = alice.post(f"/requests/{request.number}/edit/", wish(world, scopes=["orders:write"]))
    assert answer.status_code == 302
    request.refresh_from_db()
    assert (request.revision, request.content["scopes"]) == (2, ["orders:write"])
    assert not Approval.objects.standing().exists()


@pytest.mark.parametrize("who", ["bob", "anna", "admin"])
def test_only_the_requester_edits(world: World, as_: Browser, who: str) -> None:
    request = submitted(world)
    answer = as_(who).get(f"/requests/{request.number}/edit/")
    assert answer.status_code == 403
    assert "Only whoever asked for it can do this." in answer.content.decode()


def test_a_request_is_withdrawn_and_nudged_by_buttons(world: World, as_: Browser) -> None:
    request = submitted(world)
    alice = as_("alice")
    assert alice.post(f"/requests/{request.number}/nudge/").status_code == 302
    again = alice.post(f"/requests/{request.number}/nudge/", follow=True).content.decode()
    assert "You can remind them twice a day." in again
    alice.post(f"/requests/{request.number}/withdraw/")
    request.refresh_from_db()
    assert request.state == "withdrawn"
    late = alice.post(f"/requests/{request.number}/withdraw/")
    assert late.status_code == 409
    assert "no longer open" in late.content.decode()


def test_a_renewal_is_a_request(world: World, as_: Browser) -> None:
    key, _, _ = issued(world)
    alice = as_("alice")
    too_long = {"authorised_days": "3000", "purpose": "The report goes on.", "ticket": ""}
    assert alice.post(f"/keys/{key.number}/renew/", too_long).status_code == 422
    answer = alice.post(f"/keys/{key.number}/renew/", too_long | {"authorised_days": "365"})
    request = KeyRequest.objects.get(renews=key)
    assert answer["Location"] == f"/requests/{request.number}/"
    page = alice.get(answer["Location"]).content.decode()
    assert "Renewal" in page
    assert "Renewal asked for" in page
    assert alice.post(f"/keys/{key.number}/renew/", too_long | {"authorised_days": "30"}).status_code == 409
