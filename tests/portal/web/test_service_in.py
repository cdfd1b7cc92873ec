"""A service in one of its environments is called so on every page, by the names that people gave them."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from keys.approvals.decisions import approve_request
from keys.approvals.submission import submit_request
from keys.models import Environment, ManagedKey, Team, Verifier
from keys.people.teams import add_member
from tests.people import SYSTEM, World, acting, draft, issued
from tests.servers import ROOT

pytestmark = pytest.mark.django_db
Browser = Callable[..., Client]


def words_of(client: Client, path: str) -> str:
    page = client.get(path).content.decode().split("<main", 1)[1]
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_what_a_key_opens_is_named_by_service_and_environment(world: World, as_: Browser) -> None:
    key, _, _ = issued(world)
    request = key.request
    assert request is not None
    for path in (
        f"/keys/{key.number}/", f"/keys/{key.number}/revoke/", reverse("request", args=[request.number]),
    ):  # fmt: skip
        assert "Orders in Production" in words_of(as_("alice"), path), path


def test_what_a_credential_verifies_is_named_by_service_and_environment(world: World, as_: Browser) -> None:
    add_member(Team.objects.get(slug="keystead"), person=world.carol, roles=["approver"], actor=SYSTEM)
    wish = draft(
        world, service="keystead", environment="dev", owner_team="orders", scopes=("keys:verify",), cryptoperiod_days=7,
        authorised_days=30, verifies_service="orders", verifies_environment="dev",
    )  # fmt: skip
    request = submit_request(wish, actor=acting(world.bob))
    approve_request(request, digest=request.digest, actor=acting(world.carol, "approve"))
    credential = ManagedKey.objects.get(request=request)
    Verifier.objects.create(
        name="rack-7", credential=credential, service=world.orders, environment=Environment.objects.get(tag="dev"),
        started_at=request.created_at, renewed_at=request.created_at, valid_until=request.created_at, applied="1:1:",
    )  # fmt: skip
    bob = as_("bob")
    for path in (reverse("request", args=[request.number]), f"/keys/{credential.number}/"):
        assert "Verifies keys of Orders in Development" in words_of(bob, path), path
    assert "Orders in Development" in words_of(as_("admin"), reverse("verifiers"))


def test_no_template_sets_an_environment_behind_a_comma() -> None:
    comma = re.compile(r"\}\}(?:</a>)?, \{\{ *[a-z_.]*environment")
    found = {str(path) for path in (ROOT / "templates").rglob("*.html") if comma.search(path.read_text())}
    assert found == set()
