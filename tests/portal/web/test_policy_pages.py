"""Weaker production rules wait for a second administrator, who sees old beside new; pending requests keep the stricter."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.urls import reverse

from keys.approvals.quorum import rules_for
from keys.catalogue.policies import current_policy, rules_of, set_policy
from keys.catalogue.rule_differences import differences_of
from keys.models import Environment
from tests.people import acting, submitted
from tests.portal.doorway import events, signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def proposal(world):
    production = Environment.objects.get(tag="prod")
    policy = current_policy(world.orders, production)
    weaker = replace(rules_of(policy), approvals_required=1, lapse_days=30, networks_required=True)
    return set_policy(
        world.orders,
        environment=production,
        rules=weaker,
        base_version=policy.version,
        actor=acting(world.admin2, "policy"),
    )


def _address(proposal):
    return reverse("policy_proposal", args=[proposal.pk])


def _current(world):
    return current_policy(world.orders, Environment.objects.get(tag="prod"))


def test_the_page_shows_old_beside_new_and_marks_what_is_weaker(world, proposal):
    changes = {each.name: each for each in differences_of(proposal)}
    assert (changes["approvals_required"].before, changes["approvals_required"].after) == ("2", "1")
    assert {name for name, each in changes.items() if each.is_weaker} == {"approvals_required", "lapse_days"}
    assert changes["networks_required"].is_changed
    assert changes["approver_team_id"].before == "Security"
    page = signed_in(world.admin).get(_address(proposal)).content.decode()
    assert page.count(">weaker<") == 2
    assert "Accept the weaker rules" in page


def test_a_second_administrator_accepts_and_waiting_requests_keep_the_stricter(world, proposal):
    request = submitted(world)
    client = signed_in(world.admin, "policy")
    answer = client.post(_address(proposal), {"answer": "accept", "phrase": "orders"})
    assert answer.status_code == 302
    assert _current(world).approvals_required == 1
    assert rules_for(request).approvals_required == 2
    assert rules_for(request).networks_required
    decided = events(action="policy-proposal.decided")[-1]
    assert decided.actor_id == str(world.admin.pk)
    assert "is in force" in client.get(reverse("policy_proposals")).content.decode()


def test_the_proposer_may_take_it_back_and_not_accept_it(world, proposal):
    client = signed_in(world.admin2, "policy")
    page = client.get(_address(proposal)).content.decode()
    assert "Accept the weaker rules" not in page
    assert "need a second administrator" in page
    assert client.post(_address(proposal), {"answer": "accept", "phrase": "orders"}).status_code == 403
    assert _current(world).approvals_required == 2
    assert client.post(_address(proposal), {"answer": "refuse"}).status_code == 302
    proposal.refresh_from_db()
    assert proposal.outcome == "refused"


@pytest.mark.parametrize(
    ("typed", "status"),
    [
        ({"answer": "accept", "phrase": "order"}, 422),
        ({"answer": "accept"}, 422),
        ({"answer": "maybe", "phrase": "orders"}, 422),
        ({}, 422),
    ],
)
def test_a_wrong_answer_decides_nothing(world, proposal, typed, status):
    client = signed_in(world.admin, "policy")
    assert client.post(_address(proposal), typed).status_code == status
    proposal.refresh_from_db()
    assert proposal.decided_at is None


def test_without_a_step_up_nothing_is_decided(world, proposal):
    client = signed_in(world.admin, "catalogue")
    assert client.post(_address(proposal), {"answer": "accept", "phrase": "orders"}).status_code == 422
    assert client.post(_address(proposal), {"answer": "refuse"}).status_code == 422
    proposal.refresh_from_db()
    assert proposal.decided_at is None


def test_rules_that_changed_meanwhile_are_not_overwritten(world, proposal):
    policy = _current(world)
    stricter = replace(rules_of(policy), max_authorised_days=100)
    set_policy(
        world.orders,
        environment=policy.environment,
        rules=stricter,
        base_version=policy.version,
        actor=acting(world.admin2, "policy"),
    )
    client = signed_in(world.admin, "policy")
    answer = client.post(_address(proposal), {"answer": "accept", "phrase": "orders"})
    assert answer.status_code == 409
    assert "changed this policy meanwhile" in answer.content.decode()
    assert _current(world).max_authorised_days == 100


@pytest.mark.parametrize("who", ["auditor", "responder"])
def test_readers_see_proposals_and_decide_nothing(world, proposal, who):
    client = signed_in(getattr(world, who), "policy")
    assert client.get(reverse("policy_proposals")).status_code == 200
    page = client.get(_address(proposal)).content.decode()
    assert '<form method="post" novalidate>' not in page
    assert client.post(_address(proposal), {"answer": "refuse"}).status_code == 403
    proposal.refresh_from_db()
    assert proposal.decided_at is None


@pytest.mark.parametrize("who", ["alice", "bob", "mallory"])
def test_for_everybody_else_there_are_no_proposals(world, proposal, who):
    client = signed_in(getattr(world, who), "policy")
    assert client.get(reverse("policy_proposals")).status_code == 404
    assert client.get(_address(proposal)).status_code == 404
    assert client.post(_address(proposal), {"answer": "refuse"}).status_code == 404
