"""The shell makes the first administrator and recovers the last one, and nobody else."""

import re
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from keys.errors import Denied
from keys.models import Person, TotpDevice
from keys.people.administrators import invite_first_administrator, order_recovery
from tests.accounts import joined, last_event

pytestmark = pytest.mark.usefixtures("committed_db")

REASON = "lost the phone in a taxi"


def run(*words):
    out, err = StringIO(), StringIO()
    call_command(*words, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def link_in(text):
    return re.search(r"/invitation/([A-Za-z0-9_-]{43})/", text)


def test_the_first_administrator_gets_a_link_and_running_again_voids_it():
    first = link_in(run("first_administrator")[0])[1]
    second = link_in(run("first_administrator")[0])[1]
    assert Client().get(f"/invitation/{first}/").status_code == 410
    assert Client().get(f"/invitation/{second}/").status_code == 200
    person = Person.objects.get()
    assert person.roles == ["administrator"]
    assert not person.has_usable_password()


def test_with_an_administrator_who_can_sign_in_nothing_happens():
    joined("admin", ["administrator"])
    out, _ = run("first_administrator")
    assert link_in(out) is None
    assert Person.objects.count() == 1


def test_in_production_the_first_administrator_has_an_address_that_somebody_named(settings):
    settings.PRODUCTION = True
    with pytest.raises(CommandError, match="required: --email"):
        run("first_administrator")
    assert not Person.objects.exists()


def test_another_address_than_that_of_who_waits_is_not_passed_over_in_silence():
    link = link_in(run("first_administrator", "--email", "boss@example.com")[0])[1]
    with pytest.raises(CommandError, match=r"^boss@example\.com was invited"):
        run("first_administrator", "--email", "other@example.com")
    assert Client().get(f"/invitation/{link}/").status_code == 200
    assert link_in(run("first_administrator", "--email", "BOSS@example.com")[0])
    assert link_in(run("first_administrator")[0])
    assert Person.objects.get().email == "boss@example.com"


def test_only_the_shell_makes_first_administrators():
    alice = joined("alice")
    with pytest.raises(Denied):
        invite_first_administrator("x@example.com", actor=alice.actor("people"), name="X")
    with pytest.raises(Denied):
        order_recovery("alice@example.com", actor=alice.actor("people"), reason=REASON)


def test_the_last_administrator_is_recovered_loudly_and_factors_change_only_on_use():
    admin = joined("admin", ["administrator"])
    out, err = run("recover_admin", "ADMIN@example.com", "--reason", REASON)
    assert "audit log" in err
    event = last_event("recovery.link-ordered")
    assert event["severity"] == "critical"
    assert event["actor"]["type"] == "operator"
    assert TotpDevice.objects.usable().filter(user=admin.person).exists()
    token = link_in(out)[1]
    client = Client()
    new = "an entirely different sentence"
    assert client.post(f"/invitation/{token}/", {"new": new, "again": new})["location"] == "/account/set-up/"
    assert not TotpDevice.objects.usable().filter(user=admin.person).exists()
    assert client.post(f"/invitation/{token}/", {"new": new, "again": new}).status_code == 410


def test_recovery_is_refused_while_another_administrator_can_help():
    joined("one", ["administrator"])
    joined("two", ["administrator"])
    with pytest.raises(CommandError, match="another administrator"):
        run("recover_admin", "one@example.com", "--reason", REASON)
    out, _ = run("recover_admin", "one@example.com", "--reason", REASON, "--even-so")
    assert link_in(out)
    assert last_event("recovery.link-ordered")["details"]["other_administrators"] == 1


@pytest.mark.parametrize("email", ["nobody@example.com", "alice@example.com", "nonsense"])
def test_recovery_is_for_administrators_only(email):
    joined("alice")
    with pytest.raises(CommandError):
        run("recover_admin", email, "--reason", REASON)
