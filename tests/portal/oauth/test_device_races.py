"""Of many who come at one moment with one code, one gets a token; and no more begin than may wait."""

import pytest
from django.db import connection

from audit import clock
from keys.models import DeviceSignIn, Session
from keys.operations import operation
from keys.people.sessions import end_sessions_of
from keys.policy.device_rules import presence_for
from tests.accounts import actions, joined, last_event
from tests.devices import asks, begun, entered, polled, sent
from tests.races import in_parallel

pytestmark = pytest.mark.usefixtures("committed_db")


def patiently(act):
    """Wait out the locks of the others, however busy the machine is; a deadlock is found all the same."""
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '60s'")
    return act()


def test_a_code_from_the_app_allows_and_of_fifty_polls_one_gets_the_token():
    alice = joined("alice")
    client = alice.signs_in()
    asking = begun()
    assert entered(client, asking["user_code"]).status_code == 302
    page = f"/device/{asking['id']}/"
    assert client.post(page, {"answer": "allow", "code": "000000"}).status_code == 422
    assert client.post(page, {"answer": "allow"}).status_code == 422
    assert client.post(page, {"answer": "allow", "code": alice.code()}).status_code == 302
    assert last_event("step-up.completed")["details"]["purpose"] == presence_for(asking["id"])
    answers = in_parallel(50, lambda _: patiently(lambda: polled(asking["device_code"])))
    assert sorted(each.status_code for each in answers) == [200] + [400] * 49
    token = next(each.json()["access_token"] for each in answers if each.status_code == 200)
    assert asks(token).status_code == 401, "others had the code too, so it ended"
    assert actions(action="device-sign-in.completed") == ["device-sign-in.completed"]
    assert actions(action="session.ended") == ["session.ended"]


def test_many_who_begin_at_once_are_no_more_than_may_wait():
    answers = in_parallel(16, lambda _: patiently(_begun_at_once))
    assert sorted(answers) == [200] * 10 + [429] * 6
    assert DeviceSignIn.objects.count() == 10


def _begun_at_once():
    return sent("device_authorization", "client_id=keystead-cli&device_name=laptop").status_code


@operation
def _end_all_but(kept, *, person, actor):
    end_sessions_of(person.pk, actor=actor, at=clock.now(), but=kept)


def test_whoever_is_signed_out_everywhere_keeps_no_token_that_was_taken_at_that_moment():
    alice = joined("alice")
    client = alice.signs_in()
    for _ in range(5):
        asking = begun()
        entered(client, asking["user_code"])
        page = f"/device/{asking['id']}/"
        assert client.post(page, {"answer": "allow", "code": alice.code()}).status_code == 302
        row = Session.objects.get(person=alice.person, kind="browser")

        def act(number, code=asking["device_code"], kept=row.pk):
            return polled(code).status_code if number else _end_all_but(kept, person=alice.person, actor=alice.actor())

        in_parallel(2, act)
        assert not Session.objects.filter(kind="device").exists()
        assert not DeviceSignIn.objects.filter(pk=asking["id"]).exists()
