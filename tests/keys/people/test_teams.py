"""Teams and who is in them: changed by leads and administrators, on record, with new session keys for whoever gains."""

import pytest

from audit import clock
from keys.errors import Conflict, Denied, Invalid
from keys.models import Membership, Session
from keys.people.teams import add_member, change_member_roles, change_team, create_team, end_membership, retire_team
from tests.accounts import OPERATOR, actions, joined

pytestmark = pytest.mark.usefixtures("committed_db")


def test_the_life_of_a_team():
    admin, alice, bob = joined("admin", ["administrator"]), joined("alice"), joined("bob")
    team = create_team("wallets", actor=admin.actor("people"), name="Wallets")
    lead = add_member(team, actor=admin.actor("people"), person=alice.person, roles=["lead"])
    member = add_member(team, actor=alice.actor("people"), person=bob.person, roles=["developer"])
    change_member_roles(member, actor=alice.actor("people"), roles=["developer", "approver"])
    with pytest.raises(Denied):
        change_member_roles(lead, actor=alice.actor("people"), roles=["lead", "approver"])
    with pytest.raises(Conflict):
        add_member(team, actor=alice.actor("people"), person=bob.person, roles=["developer"])
    with pytest.raises(Invalid):
        add_member(team, actor=alice.actor("people"), person=bob.person, roles=["king"])
    end_membership(member, actor=alice.actor("people"))
    change_team(team, actor=admin.actor("people"), name="Wallets and vaults")
    with pytest.raises(Denied):
        retire_team(team, actor=alice.actor("people"))
    retire_team(team, actor=admin.actor("people"))
    assert not Membership.objects.filter(team=team, ended_at=None).exists()
    told = [each for each in actions(target_id=str(team.pk)) if each != "access.denied"]
    assert told == ["team.created", "team.changed", "team.retired"]
    assert actions(target_type="membership") == [
        "membership.added",
        "membership.added",
        "membership.roles-changed",
        "membership.ended",
        "membership.ended",
    ]


def test_a_new_member_gets_new_session_keys_and_confirms_anew():
    admin, alice = joined("admin", ["administrator"]), joined("alice")
    team = create_team("wallets", actor=admin.actor("people"), name="Wallets")
    alice.signs_in()
    Session.objects.update(step_ups=[{"purpose": "approve", "method": "totp", "at": clock.now().isoformat()}])
    add_member(team, actor=admin.actor("people"), person=alice.person, roles=["approver"])
    session = Session.objects.get(person=alice.person)
    assert session.must_rotate
    assert session.step_ups == []


@pytest.mark.parametrize("slug", ["", "Wallets", "a b", "a--b", "x" * 41, "ä", "a\x00"])
def test_odd_slugs_are_refused(slug):
    with pytest.raises(Invalid):
        create_team(slug, actor=OPERATOR, name="Wallets")
