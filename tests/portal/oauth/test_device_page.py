"""The page on which a person types a code: it shows whose machine it is, warns, counts guesses and wants presence for this one."""

from datetime import timedelta

import pytest

from audit import clock
from keys.errors import Denied
from keys.models import DeviceCodeTries, DeviceSignIn, FactorTries
from keys.people.device_rows import canonical_user_code
from keys.people.device_sign_ins import allow_device, enter_code, write_sign_in
from keys.people.device_tokens import find_device_session
from keys.policy.device_rules import presence_for
from portal.actors import actor_from
from tests.accounts import actions, last_event
from tests.devices import answered, begun, browser_of, entered, polled, program, token_of
from tests.people import acting


def test_a_code_in_the_address_fills_the_field_and_looks_nothing_up(world):
    asking = begun()
    client = browser_of(world.alice)
    page = client.get(f"/device/?user_code={asking['user_code'].lower()}").content.decode()
    assert f'value="{asking["user_code"]}"' in page
    assert DeviceSignIn.objects.get().person_id is None
    for odd in ("%3Cscript%3E", "AEIO-UAEI", "x" * 300, ""):
        assert 'value=""' in client.get(f"/device/?user_code={odd}").content.decode()


def test_the_page_is_for_people_with_both_factors_and_keeps_the_code_over_the_sign_in(world):
    asked = program().get("/device/?user_code=BCDF-GHJK")
    assert asked["location"] == "/sign-in/?next=%2Fdevice%2F%3Fuser_code%3DBCDF-GHJK"
    assert program().post("/device/", {"user_code": "BCDF-GHJK"}).status_code == 302
    assert DeviceCodeTries.objects.count() == 0


def test_the_person_sees_which_machine_asks_and_a_warning(world):
    asking = begun("<b>build+box</b>", REMOTE_ADDR="192.0.2.9")
    client = browser_of(world.alice)
    page = client.get(entered(client, asking["user_code"])["location"]).content.decode()
    for part in (
        "&lt;b&gt;build box&lt;/b&gt;",
        "192.0.2.9",
        "keystead-cli/1",
        "another one",
        "only if you began this yourself",
    ):
        assert part in page
    near = begun("near")
    page = client.get(entered(client, near["user_code"])["location"]).content.decode()
    assert "another one" not in page


def test_a_machine_without_a_name_is_shown_as_one_and_given_none(world):
    """By its address and program, which it may have made up too, and by no words that look like its own."""
    asking = begun("", REMOTE_ADDR="192.0.2.9")
    client = browser_of(world.alice)
    page = client.get(entered(client, asking["user_code"])["location"]).content.decode()
    for part in ("It gave no name", "192.0.2.9", "keystead-cli/1", "another one", "only if you began this yourself"):
        assert part in page
    assert "It calls itself" not in page
    answered(world.alice, asking)
    assert polled(asking["device_code"]).status_code == 200
    page = client.get("/account/sessions/").content.decode()
    assert page.count("A machine that gave no name") == 2, "in its row, and in what its button says"


def test_presence_for_one_machine_opens_no_other(world):
    one, other = begun("one"), begun("other")
    client = browser_of(world.alice, presence_for(one["id"]), "device", "claim", "factors")
    entered(client, other["user_code"])
    refused = client.post(f"/device/{other['id']}/", {"answer": "allow"})
    assert refused.status_code == 422
    assert "step-up" in refused.content.decode()
    assert polled(other["device_code"]).json()["error"] == "authorization_pending"
    assert not actions(action="device-sign-in.allowed")
    entered(client, one["user_code"])
    assert client.post(f"/device/{one['id']}/", {"answer": "allow"}).status_code == 302
    assert "The machine may go on" in client.get(f"/device/{one['id']}/").content.decode()


def test_whoever_goes_past_the_page_needs_presence_for_this_machine_and_the_code_all_the_same(world):
    asking, other = begun("one"), begun("other")
    row = DeviceSignIn.objects.get(pk=asking["id"])
    for who in (acting(world.alice, presence_for(row.pk)), acting(world.bob, "*")):
        with pytest.raises(Denied) as denied:
            allow_device(row, actor=who)
        assert denied.value.code == "not_your_own", "nobody typed its code"
    entered(browser_of(world.alice), asking["user_code"])
    for purposes in ((), ("*",), ("device", presence_for(other["id"]))):
        with pytest.raises(Denied) as denied:
            allow_device(row, actor=acting(world.alice, *purposes))
        assert denied.value.code == "step_up_required"
    assert polled(asking["device_code"]).json()["error"] == "authorization_pending"
    assert actions(action="access.denied") == ["access.denied"] * 5


def test_a_machine_allows_no_machine(world):
    row, asking = find_device_session(token_of(world.alice)), begun()
    device = actor_from(row, row.person, facts=acting(world.alice).http)
    with pytest.raises(Denied) as denied:
        enter_code(world.alice, asking["user_code"], actor=device)
    assert denied.value.rule == "device.browser"
    entered(browser_of(world.alice), asking["user_code"])
    with pytest.raises(Denied):
        allow_device(DeviceSignIn.objects.get(pk=asking["id"]), actor=device)


def test_guesses_are_counted_for_the_person_and_refused_after_five(world):
    asking = begun()
    client = browser_of(world.alice, presence_for(asking["id"]))
    for typo in ("BCDF", "AEIOUAEI", "ÄÖÜB-CDFG", ""):
        assert entered(client, typo).status_code == 422
    assert not DeviceCodeTries.objects.filter(failures__gt=0).exists(), "what cannot be a code is no guess"
    wrong = "BCDF-GHJK" if asking["user_code"] != "BCDF-GHJK" else "BCDF-GHJL"
    assert [entered(client, wrong).status_code for _ in range(6)] == [422] * 4 + [429] * 2
    assert entered(client, asking["user_code"]).status_code == 429, "not even the right one"
    assert actions(action="device-sign-in.code-refused") == ["device-sign-in.code-refused"] * 5
    assert last_event("device-sign-in.code-refused")["reason"] == "locked"
    assert not FactorTries.objects.filter(failures__gt=0).exists(), "nobody is locked out of signing in by it"
    assert entered(browser_of(world.bob), wrong).status_code == 422, "others are not closed out"
    DeviceCodeTries.objects.update(last_failed_at=clock.now() - timedelta(minutes=31))
    assert entered(client, asking["user_code"]).status_code == 302


def test_a_right_code_between_guesses_buys_no_more_of_them(world):
    asking = begun()
    client = browser_of(world.alice)
    wrong = "BCDF-GHJK" if asking["user_code"] != "BCDF-GHJK" else "BCDF-GHJL"
    for _ in range(4):
        entered(client, wrong)
    assert entered(client, asking["user_code"]).status_code == 302
    assert entered(client, wrong).status_code == 429


def test_a_code_that_is_over_or_answered_is_a_wrong_one(world):
    asking = begun()
    answered(world.alice, asking, "deny")
    client = browser_of(world.alice)
    assert entered(client, asking["user_code"]).status_code == 422
    assert "turned away" in client.get(f"/device/{asking['id']}/").content.decode()


def test_a_yes_is_taken_back_until_the_machine_has_its_token(world):
    """Whoever sent the code may wait until nobody looks at the sessions any more."""
    asking = begun()
    client, page = browser_of(world.alice, presence_for(asking["id"])), f"/device/{asking['id']}/"
    entered(client, asking["user_code"])
    assert client.post(page, {"answer": "allow"}).status_code == 302
    assert "Turn it away after all" in client.get(page).content.decode()
    allowed = DeviceSignIn.objects.get()
    assert client.post(page, {"answer": "deny"}).status_code == 302
    assert "The machine was turned away" in client.get(page).content.decode()
    assert actions(action="device-sign-in.denied") == ["device-sign-in.denied"]
    assert client.post(page, {"answer": "allow"}).status_code == 409
    assert polled(asking["device_code"]).json()["error"] == "access_denied"
    DeviceSignIn.objects.all().delete()
    allowed.save(force_insert=True)  # by SQL, with its MAC of that moment
    assert polled(asking["device_code"]).json()["error"] == "invalid_grant"
    assert last_event("device-sign-in.row-refused")["target"]["id"] == str(allowed.pk)


def test_a_token_that_was_taken_is_ended_among_the_sessions_and_not_here(world):
    asking = begun()
    answered(world.alice, asking)
    assert polled(asking["device_code"]).status_code == 200
    client, page = browser_of(world.alice), f"/device/{asking['id']}/"
    assert "Turn it away" not in client.get(page).content.decode()
    assert client.post(page, {"answer": "deny"}).status_code == 409


def test_who_opens_the_page_too_late_is_told_so(world):
    asking = begun()
    client = browser_of(world.alice, presence_for(asking["id"]))
    entered(client, asking["user_code"])
    row = DeviceSignIn.objects.get()
    write_sign_in(row, expires_at=row.expires_at - timedelta(minutes=11))
    assert client.post(f"/device/{asking['id']}/", {"answer": "allow"}).status_code == 410
    assert "The time is over" in client.get(f"/device/{asking['id']}/").content.decode()


@pytest.mark.parametrize("typed", ["bcdf-ghjk", " BCDF GHJK ", "b.c.d.f.g.h.j.k", "BCDF\u2013GHJK", "BCDFGHJK"])
def test_a_code_is_read_as_people_type_it(typed):
    assert canonical_user_code(typed) == "BCDFGHJK"


@pytest.mark.parametrize(
    "typed", ["", "BCDF-GHJ", "BCDF-GHJKL", "ACDF-GHJK", "\uff22CDF-GHJK", "BCDF\0GHJK", "B" * 5000]
)
def test_what_is_no_code_is_none(typed):
    assert canonical_user_code(typed) == ""
