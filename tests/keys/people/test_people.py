"""People come by invitation, get their roles from others and leave for good: by an operation, on record, with nothing secret."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection

from audit import clock
from keys.crypto import otp
from keys.errors import Conflict, Denied, Invalid
from keys.models import Delegation, Invitation, Person, Session
from keys.people.delegates import name_delegate
from keys.people.factors import enrol_passkey
from keys.people.invitations import accept_invitation, invite_again, invite_person
from keys.people.recovery_codes import make_recovery_codes
from keys.people.resets import confirm_factor_reset, propose_factor_reset
from keys.people.roles import change_roles, deactivate_person, reactivate_person, rename_person
from keys.people.teams import add_member, create_team
from keys.people.webauthn import read_registration, registration_options
from tests.accounts import OPERATOR, PASSWORD, actions, invited, joined, last_event, self_of
from tests.authenticator import SoftAuthenticator
from tests.races import in_parallel

pytestmark = pytest.mark.usefixtures("committed_db")

REASON = "lost the phone in a taxi"


def test_an_administrator_invites_with_presence_and_nobody_else_does():
    admin, alice = joined("admin", ["administrator"]), joined("alice")
    made = invite_person("Bob@Example.com", actor=admin.actor("people"), name="Bob")
    assert made.person.email == "bob@example.com"
    assert not made.person.has_usable_password()
    for actor in (admin.actor(), alice.actor("people"), self_of(made.person)):
        with pytest.raises(Denied):
            invite_person("carol@example.com", actor=actor, name="Carol")
    with pytest.raises(Invalid):
        invite_person("bob@EXAMPLE.com", actor=admin.actor("people"), name="Bob again")
    assert len(actions(action="access.denied")) == 3
    assert actions(target_id=str(made.person.pk)) == ["person.invited"]


@pytest.mark.parametrize(
    ("email", "name", "roles"),
    [
        ("bob", "Bob", []),
        ("b\x00b@example.com", "Bob", []),
        ("bob@example.com", "", []),
        ("bob@example.com", "B\u202eob", []),
        ("bob@example.com", "x" * 121, []),
        ("bob@example.com", "Bob", ["emperor"]),
    ],
)
def test_odd_people_are_not_invited(email, name, roles):
    with pytest.raises(Invalid):
        invite_person(email, actor=OPERATOR, name=name, roles=roles)
    assert not Person.objects.exists()


def test_whoever_has_joined_is_not_invited_again():
    alice = joined("alice")
    with pytest.raises(Conflict):
        invite_again(alice.person, actor=OPERATOR)
    person, first, _ = invited("bob")
    second = invite_again(person, actor=OPERATOR)
    first.refresh_from_db()
    assert first.revoked_at is not None
    assert Invitation.objects.unused().get(person=person) == second


def test_the_last_administrator_stays_and_two_cannot_remove_each_other_at_once():
    one, two = joined("one", ["administrator"]), joined("two", ["administrator"])
    pairs = [(one, two), (two, one)]
    outcomes = in_parallel(2, lambda n: deactivate_person(pairs[n][0].person, actor=pairs[n][1].actor("people")))
    assert Person.objects.filter(is_active=True, roles__contains=["administrator"]).count() == 1
    assert sum(isinstance(each, Person) for each in outcomes) == 1
    left = one if Person.objects.get(pk=one.person.pk).is_active else two
    with pytest.raises(Denied):
        change_roles(left.person, actor=OPERATOR, roles=[])


def test_nobody_changes_their_own_roles():
    admin = joined("admin", ["administrator"])
    with pytest.raises(Denied) as denied:
        change_roles(admin.person, actor=admin.actor("people"), roles=["administrator", "auditor"])
    assert denied.value.code == "not_your_own_roles"
    assert last_event("access.denied")["details"]["operation"] == "change_roles"


def test_a_leaver_loses_sessions_invitations_and_delegations():
    admin, alice, bob = joined("admin", ["administrator"]), joined("alice"), joined("bob")
    alice.signs_in()
    at = clock.now()
    name_delegate(
        alice.person, actor=alice.actor("people"), delegate=bob.person, starts_at=at, ends_at=at + timedelta(days=2)
    )
    deactivate_person(alice.person, actor=admin.actor("people"))
    assert not Session.objects.filter(person=alice.person).exists()
    assert Delegation.objects.get().ended_at is not None
    with pytest.raises(Conflict):
        deactivate_person(alice.person, actor=admin.actor("people"))
    assert reactivate_person(alice.person, actor=admin.actor("people")).is_active
    assert actions(target_id=str(alice.person.pk))[-2:] == ["person.deactivated", "person.reactivated"]


def test_people_rename_themselves_and_only_themselves():
    alice, mallory = joined("alice"), joined("mallory")
    assert rename_person(alice.person, actor=alice.actor(), name=" Alice  Liddell ").name == "Alice  Liddell"
    with pytest.raises(Denied):
        rename_person(alice.person, actor=mallory.actor("people"), name="Fool")


def test_a_life_among_people_replays_from_its_events():
    one, two, alice = joined("one", ["administrator"]), joined("two", ["administrator"]), joined("alice")
    team = create_team("wallets", actor=one.actor("people"), name="Wallets")
    add_member(team, actor=one.actor("people"), person=alice.person, roles=["developer"])
    device, challenge = SoftAuthenticator(), b"c" * 32
    credential = read_registration(device.create(registration_options(alice.person, challenge)), challenge)
    enrol_passkey(alice.person, actor=alice.actor("factors"), name="laptop", credential=credential)
    change_roles(alice.person, actor=one.actor("people"), roles=["auditor", "responder"])
    at = clock.now()
    name_delegate(
        alice.person, actor=alice.actor("people"), delegate=one.person, starts_at=at, ends_at=at + timedelta(days=1)
    )
    proposal = propose_factor_reset(alice.person, actor=one.actor("people"), reason=REASON)
    confirm_factor_reset(proposal, actor=two.actor("people"))
    deactivate_person(alice.person, actor=two.actor("people"))
    call_command("replay_audit_log", stdout=StringIO())


def test_no_event_holds_a_seed_a_code_a_link_or_a_session_key():
    alice = joined("alice")
    client = alice.signs_in()
    codes = make_recovery_codes(alice.person, actor=alice.actor("factors"))
    person, invitation, token = invited("bob")
    accept_invitation(invitation, token, actor=self_of(person), password=PASSWORD)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT string_agg(convert_from(payload, 'UTF8'), ' ') FROM audit_event)"
            " || (SELECT string_agg(convert_from(body, 'UTF8'), ' ') FROM audit_private)"
        )
        log = cursor.fetchone()[0]
    for secret in (
        otp.base32_text(alice.seed).reveal().replace(" ", ""),
        *(code.reveal() for code in codes),
        token,
        PASSWORD,
        client.cookies["session"].value,
    ):
        assert secret not in log
