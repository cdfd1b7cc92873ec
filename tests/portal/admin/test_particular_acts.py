"""Acts that have more to say: who may not, what changed meanwhile, what is only proposed, what is shown once."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from django.urls import reverse

from audit import clock
from keys.approvals.submission import edit_request
from keys.catalogue.policies import rules_of, set_policy
from keys.models import Passkey, Policy, PolicyProposal, Service, Session
from keys.states import Role
from tests.people import acting, draft, issued, submitted
from tests.portal.admin.rows import (
    give_passkey,
    production_policy,
    proposed_policy,
    proposed_reset,
    seat_as_approver,
    sent_invitation,
    typed_rules,
)
from tests.portal.doorway import events, hidden, signed_in

pytestmark = pytest.mark.django_db


def test_what_an_operation_refuses_stands_in_the_form(world):
    client = signed_in(world.admin, "people")
    seen = hidden(client.get("/admin/keys/team/add/"), "seen")
    answer = client.post("/admin/keys/team/add/", {"slug": "orders", "name": "Another", "seen": seen})
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "This is taken already. Choose another." in page
    assert 'value="Another"' in page


def test_an_administrator_does_not_change_their_own_roles(world):
    client = signed_in(world.admin, "people")
    address = reverse("admin:keys_person_act", args=[world.admin.pk, "roles"])
    answer = client.post(address, {"roles": ["auditor"], "seen": hidden(client.get(address), "seen")})
    assert answer.status_code == 403
    assert "Nobody gives roles to themselves" in answer.content.decode()
    assert events(action="access.denied")[-1].envelope()["reason"] == "not_your_own_roles"
    world.admin.refresh_from_db()
    assert world.admin.roles == [Role.ADMINISTRATOR]


def test_the_proposer_of_a_reset_or_a_policy_does_not_confirm_it(world):
    reset, proposal = proposed_reset(world), proposed_policy(world)
    client = signed_in(world.admin2, "*")
    for address, phrase in (
        (reverse("admin:keys_factorreset_act", args=[reset.pk, "confirm"]), world.alice.email),
        (reverse("admin:keys_policyproposal_act", args=[proposal.pk, "accept"]), "orders"),
    ):
        answer = client.post(address, {"phrase": phrase, "seen": hidden(client.get(address), "seen")})
        assert answer.status_code == 403
    assert Passkey.objects.usable().filter(user=world.alice).exists()
    assert not Policy.objects.filter(approvals_required=1, environment=proposal.environment).exists()


def test_weakening_production_is_only_proposed_and_says_so(world):
    client = signed_in(world.admin, "policy")
    policy = production_policy(world)
    address = reverse("admin:keys_policy_act", args=[policy.pk, "new-version"])
    typed = typed_rules(policy, approvals_required=1) | {"seen": hidden(client.get(address), "seen")}
    look = client.post(address, typed | {"_look": "1"})
    assert look.status_code == 200
    assert "weaker" in look.content.decode()
    assert not PolicyProposal.objects.exists()
    answer = client.post(address, typed, follow=True)
    assert "A second administrator has to accept it." in answer.content.decode()
    assert PolicyProposal.objects.get().weakened == ["approvals_required"]
    assert production_policy(world).version == policy.version


def test_a_policy_that_changed_meanwhile_is_not_overwritten(world):
    client = signed_in(world.admin, "policy")
    policy = production_policy(world)
    address = reverse("admin:keys_policy_act", args=[policy.pk, "new-version"])
    seen = hidden(client.get(address), "seen")
    stricter = replace(rules_of(policy), max_authorised_days=100)
    set_policy(
        world.orders,
        environment=policy.environment,
        rules=stricter,
        base_version=policy.version,
        actor=acting(world.admin2, "policy"),
    )
    answer = client.post(address, typed_rules(policy, max_cryptoperiod_days=30) | {"seen": seen})
    assert answer.status_code == 409
    assert "Somebody changed this policy meanwhile" in answer.content.decode()


def test_a_retirement_shows_the_living_keys_and_ends_them_by_plan(world):
    key, version, _secret = issued(world)
    client = signed_in(world.admin, "catalogue")
    address = reverse("admin:keys_service_act", args=[world.orders.pk, "retire"])
    page = client.get(address)
    assert str(key) in page.content.decode()
    day = (clock.now() + timedelta(days=2)).replace(second=0, microsecond=0)
    typed = {"retires_at": day.strftime("%Y-%m-%dT%H:%M"), "phrase": "orders", "seen": hidden(page, "seen")}
    assert client.post(address, typed).status_code == 302
    key.refresh_from_db()
    version.refresh_from_db()
    assert key.authorised_until == day
    assert version.expires_at == day
    assert Service.objects.get(pk=world.orders.pk).retires_at == day


def test_a_link_is_shown_in_the_answer_and_rests_nowhere(world):
    invitation = sent_invitation(world)
    client = signed_in(world.admin, "people")
    address = reverse("admin:keys_invitation_act", args=[invitation.pk, "link"])
    answer = client.post(address, {"seen": hidden(client.get(address), "seen")})
    found = re.search(r"http://[^/]+/invitation/([A-Za-z0-9_-]{43})/", answer.content.decode())
    assert found is not None
    assert "no-store" in answer["Cache-Control"]
    assert found[1] not in client.get("/admin/").content.decode()
    assert found[1] not in "".join(Session.objects.values_list("content", flat=True))


def test_content_that_changed_after_the_look_is_not_approved(world):
    seat_as_approver(world)
    request = submitted(world)
    client = signed_in(world.admin, "approve")
    address = reverse("admin:keys_keyrequest_act", args=[request.pk, "approve"])
    seen = hidden(client.get(address), "seen")
    edit_request(request, draft(world, scopes=("orders:read", "orders:write")), actor=acting(world.alice))
    answer = client.post(address, {"seen": seen})
    assert answer.status_code == 409
    assert "changed after you opened it" in answer.content.decode()
    assert not events(action="approval.given")


def test_a_factor_reset_is_confirmed_by_a_second_administrator_with_a_settled_factor(world):
    reset = proposed_reset(world)
    client = signed_in(world.admin, "people")
    address = reverse("admin:keys_factorreset_act", args=[reset.pk, "confirm"])
    answer = client.post(address, {"phrase": world.alice.email, "seen": hidden(client.get(address), "seen")})
    # A session that was opened with no settled factor decides nothing about others.
    assert answer.status_code == 403
    assert Passkey.objects.usable().filter(user=world.alice).exists()
    client = signed_in(world.admin, "people", device=f"passkey:{give_passkey(world.admin).pk}")
    seen = hidden(client.get(address), "seen")
    assert client.post(address, {"phrase": world.alice.email, "seen": seen}).status_code == 302
    assert not Passkey.objects.usable().filter(user=world.alice).exists()
    assert events(action="factor-reset.confirmed")[-1].actor_id == str(world.admin.pk)
