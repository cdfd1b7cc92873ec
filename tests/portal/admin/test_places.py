"""Every place of the administration opens for administrators, and for nobody else does it exist."""

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from tests.people import issued, submitted
from tests.portal.doorway import events, signed_in

PLACES = [(model._meta.app_label, model._meta.model_name) for model in admin.site._registry]
pytestmark = pytest.mark.django_db


@pytest.fixture
def furnished(world):
    issued(world)
    submitted(world)
    return world


def _each_row():
    for model, place in admin.site._registry.items():
        row = model._base_manager.first()
        if row is not None:
            yield model, place, row


def test_every_list_and_every_row_opens(furnished):
    client = signed_in(furnished.admin)
    assert client.get("/admin/").status_code == 200
    for app, model in PLACES:
        assert client.get(reverse(f"admin:{app}_{model}_changelist")).status_code == 200, model
    for model, place, row in _each_row():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        page = client.get(reverse(f"{name}_change", args=[row.pk]))
        assert page.status_code == 200, model
        for act in place.acts:
            address = reverse(f"{name}_add") if act.makes else reverse(f"{name}_act", args=[row.pk, act.name])
            assert client.get(address).status_code == 200, (model, act.name)


def test_every_list_with_a_search_answers_one(furnished):
    client = signed_in(furnished.admin)
    for model, place in admin.site._registry.items():
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        if place.search_fields:
            assert client.get(address, {"q": "orders 1"}).status_code == 200, model


@pytest.mark.parametrize("who", ["alice", "bob", "mallory", "auditor", "responder"])
def test_for_people_without_the_role_there_is_no_administration(furnished, who):
    client = signed_in(getattr(furnished, who), "*")
    wall = client.get("/there-is-nothing/")
    for address in ("/admin/", "/admin/keys/managedkey/", "/admin/keys/person/add/"):
        answer = client.get(address)
        assert answer.status_code == 404
        assert answer.templates[0].name == wall.templates[0].name
    refused = events(action="access.denied", actor_id=str(getattr(furnished, who).pk))
    assert len(refused) == 3
    assert {event.envelope()["details"]["operation"] for event in refused} == {"enter_administration"}


def test_strangers_are_sent_to_our_sign_in(db):
    answer = Client().get("/admin/keys/person/")
    assert answer.status_code == 302
    assert answer["location"] == "/sign-in/?next=%2Fadmin%2Fkeys%2Fperson%2F"


def test_nothing_can_be_deleted_and_no_stock_door_is_open(furnished):
    client = signed_in(furnished.admin, "*")
    for model, _place, row in _each_row():
        base = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for rest in (f"{row.pk}/delete/", f"{row.pk}/history/"):
            assert client.post(base + rest, {"post": "yes"}).status_code == 404
        assert "delete_selected" not in client.get(base).content.decode()
    for address in (
        "/admin/login/",
        "/admin/logout/",
        "/admin/password_change/",
        "/admin/autocomplete/",
        "/admin/r/1/1/",
    ):
        assert client.get(address).status_code == 404, address


def test_only_our_own_places_are_registered():
    assert {app for app, _model in PLACES} == {"keys"}


def test_no_state_digest_or_decision_is_a_field_of_a_form(furnished):
    forbidden = {"state", "digest", "row_mac", "decision", "outcome", "revoked_at", "password", "sealed_seed"}
    for _model, place, row in _each_row():
        for act in place.acts:
            fields = act.form(rows=[] if act.makes else [row]).fields if act.name != "add-template" else {}
            assert not forbidden & set(fields), act.name
