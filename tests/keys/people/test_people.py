"""What happens to people, teams and factors: every change by an operation, every operation on record."""

import re
import threading
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction
from django.db.utils import IntegrityError
from django.test import Client

from audit import clock
from audit.actor import Actor
from keys.crypto import otp
from keys.errors import Conflict, Denied, Invalid
from keys.models import Delegation, FactorReset, Invitation, Membership, Person, RecoveryCode, Session, TotpDevice
from keys.people.administrators import invite_first_administrator, order_recovery
from keys.people.delegates import name_delegate
from keys.people.factors import confirm_totp, enrol_passkey, enrol_totp, is_settled, remove_factor, seed_of
from keys.people.invitations import accept_invitation, invite_again, invite_person, make_invitation_link
from keys.people.proofs import Proof, Refusal, prove_recovery_code, prove_totp
from keys.people.recovery_codes import make_recovery_codes
from keys.people.resets import confirm_factor_reset, decline_factor_reset, propose_factor_reset
from keys.people.roles import change_roles, deactivate_person, reactivate_person, rename_person
from keys.people.teams import add_member, change_member_roles, change_team, create_team, end_membership, retire_team
from keys.people.webauthn import read_registration, registration_options
from tests.accounts import OPERATOR, PASSWORD, actions, invited, joined, last_event, self_of, token_of
from tests.authenticator import SoftAuthenticator

pytestmark = pytest.mark.usefixtures("committed_db")
REASON = "lost the phone in a taxi"


def in_parallel(count, act):
    """Run `act(number)` in real threads that start together; return what each returned or raised."""
    start, outcomes = threading.Barrier(count), []

    def run(number):
        start.wait()
        try:
            outcomes.append(act(number))
        except Exception as error:
            outcomes.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


# --- invitations and roles


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


# --- teams


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


# --- factors


def test_of_thirty_parallel_proofs_with_one_code_one_counts():
    alice = joined("alice")
    code = alice.code()
    outcomes = in_parallel(30, lambda n: prove_totp(alice.person, actor=alice.actor(), code=code, purpose=f"claim-{n}"))
    assert sum(isinstance(each, Proof) for each in outcomes) == 1
    assert sum(isinstance(each, Refusal) and each.code == "used" for each in outcomes) >= 1


def test_the_last_used_step_is_shared_by_two_devices_of_nobody_but_kept_across_purposes():
    alice = joined("alice")
    code = alice.code()
    assert isinstance(prove_totp(alice.person, actor=alice.actor(), code=code, purpose="sign-in"), Proof)
    for purpose in ("approve", "claim", "factors"):
        refused = prove_totp(alice.person, actor=alice.actor(), code=code, purpose=purpose)
        assert refused == Refusal(code="used")


def test_of_twenty_parallel_uses_of_a_recovery_code_one_counts():
    alice = joined("alice")
    code = make_recovery_codes(alice.person, actor=alice.actor("factors"))[0].reveal()
    outcomes = in_parallel(8, lambda n: prove_recovery_code(alice.person, actor=alice.actor(), code=code))
    assert sum(isinstance(each, Proof) for each in outcomes) == 1
    assert RecoveryCode.objects.exclude(used_at=None).count() == 1


def test_new_recovery_codes_void_the_old_and_another_persons_fit_nobody():
    alice, bob = joined("alice"), joined("bob")
    old = make_recovery_codes(alice.person, actor=alice.actor("factors"))[0].reveal()
    new = make_recovery_codes(alice.person, actor=alice.actor("factors"))[0].reveal()
    assert isinstance(prove_recovery_code(alice.person, actor=alice.actor(), code=old), Refusal)
    assert isinstance(prove_recovery_code(bob.person, actor=bob.actor(), code=new), Refusal)
    assert isinstance(prove_recovery_code(alice.person, actor=alice.actor(), code=new), Proof)


@pytest.mark.parametrize("code", ["", "x", "4f7k-92mz", "\x00" * 12, "\uff14f7k92mzx0pt", "a" * 1000])
def test_what_is_no_recovery_code_is_refused(code):
    alice = joined("alice")
    make_recovery_codes(alice.person, actor=alice.actor("factors"))
    assert isinstance(prove_recovery_code(alice.person, actor=alice.actor(), code=code), Refusal)


def test_nobody_changes_the_factors_of_another():
    alice, mallory = joined("alice"), joined("mallory")
    for act in (
        lambda: enrol_totp(alice.person, actor=mallory.actor("factors"), name="mine"),
        lambda: remove_factor(alice.device, actor=mallory.actor("factors")),
        lambda: make_recovery_codes(alice.person, actor=mallory.actor("factors")),
        lambda: enrol_totp(alice.person, actor=OPERATOR, name="mine"),
    ):
        with pytest.raises(Denied):
            act()


def test_the_last_factor_is_not_removed_even_by_two_at_once():
    alice = joined("alice")
    added = enrol_totp(alice.person, actor=alice.actor("factors"), name="tablet")
    added = confirm_totp(
        added, actor=alice.actor("factors"), code=otp.code_at(seed_of(added), otp.step_at(clock.now()))
    )
    devices = [alice.device, added]
    in_parallel(2, lambda n: remove_factor(devices[n], actor=alice.actor("factors")))
    assert TotpDevice.objects.usable().filter(user=alice.person).count() == 1


def test_a_seed_is_sealed_and_shown_only_until_it_is_confirmed():
    alice = joined("alice")
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(t::text, ' ') FROM keys_totpdevice t")
        dump = cursor.fetchone()[0]
    assert alice.seed.reveal_bytes().hex() not in dump
    assert otp.base32_text(alice.seed).reveal().replace(" ", "") not in dump
    with pytest.raises(Conflict):
        seed_of(alice.device)


def test_a_seed_moved_to_another_person_does_not_open():
    alice, bob = joined("alice"), joined("bob")
    TotpDevice.objects.filter(pk=bob.device.pk).update(
        sealed_seed=TotpDevice.objects.get(pk=alice.device.pk).sealed_seed
    )
    refused = prove_totp(bob.person, actor=bob.actor(), code=alice.code(), purpose="sign-in")
    assert refused == Refusal(code="wrong")
    assert actions(action="totp.seed-unreadable", target_id=str(bob.device.pk)) == ["totp.seed-unreadable"]


def test_a_factor_does_not_change_without_its_event():
    alice = joined("alice")
    with pytest.raises(IntegrityError), transaction.atomic():
        TotpDevice.objects.filter(pk=alice.device.pk).update(approves_from=None)


# --- resets by two administrators


def test_two_administrators_reset_factors_and_the_new_one_waits_a_day():
    one, two, alice = joined("one", ["administrator"]), joined("two", ["administrator"]), joined("alice")
    client = alice.signs_in()
    proposal = propose_factor_reset(alice.person, actor=one.actor("people"), reason=REASON)
    with pytest.raises(Denied):
        confirm_factor_reset(proposal, actor=one.actor("people"))
    assert client.get("/account/sessions/").status_code == 200, "a proposal changes nothing"
    confirm_factor_reset(proposal, actor=two.actor("people"))
    assert client.get("/account/sessions/").status_code == 302
    assert not TotpDevice.objects.usable().filter(user=alice.person).exists()
    invitation = Invitation.objects.unused().get(person=alice.person)
    assert invitation.purpose == "factors"
    token = token_of(make_invitation_link(invitation, actor=Actor.job("sender")))
    fresh = Client()
    assert fresh.post(f"/invitation/{token}/", {"password": "wrong wrong wrong"}).status_code == 422
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(a::text, ' ') FROM axes_accessattempt a")
        kept = cursor.fetchone()[0]
    assert token not in kept
    assert "wrong wrong" not in kept
    assert fresh.post(f"/invitation/{token}/", {"password": PASSWORD})["location"] == "/account/set-up/"
    fresh.post("/account/set-up/authenticator/")
    device = TotpDevice.objects.get(user=alice.person, confirmed=False, removed_at=None)
    code = otp.code_at(seed_of(device), otp.step_at(clock.now()))
    assert fresh.post("/account/set-up/authenticator/confirm/", {"code": code}).status_code == 200
    device.refresh_from_db()
    assert device.after_reset
    assert device.approves_from - device.confirmed_at == timedelta(hours=24)
    assert not is_settled(f"totp:{device.pk}", at=clock.now())
    assert is_settled(f"totp:{device.pk}", at=clock.now() + timedelta(hours=25))
    assert actions(target_type="factor-reset") == ["factor-reset.proposed", "factor-reset.confirmed"]


def test_one_administrator_alone_opens_no_place_whose_factors_were_reset():
    one, two, alice = joined("one", ["administrator"]), joined("two", ["administrator"]), joined("alice")
    proposal = propose_factor_reset(alice.person, actor=one.actor("people"), reason=REASON)
    confirm_factor_reset(proposal, actor=two.actor("people"))
    invitation = invite_again(alice.person, actor=one.actor("people"))
    assert invitation.purpose == "factors"
    token = token_of(make_invitation_link(invitation, actor=one.actor("people")))
    with pytest.raises(Invalid):
        accept_invitation(invitation, token, actor=self_of(alice.person), password="chosen by an administrator")
    new = "chosen by an administrator"
    assert Client().post(f"/invitation/{token}/", {"new": new, "again": new}).status_code == 422
    alice.person.refresh_from_db()
    assert alice.person.check_password(PASSWORD)
    accept_invitation(invitation, token, actor=self_of(alice.person), password=PASSWORD)


def test_whoever_chose_a_password_and_enrolled_no_factor_proves_it_when_invited_again():
    person, invitation, token = invited("bob")
    accept_invitation(invitation, token, actor=self_of(person), password=PASSWORD)
    assert invite_again(person, actor=OPERATOR).purpose == "factors"


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


def test_neither_the_person_nor_a_bystander_confirms_a_reset_but_the_person_may_stop_it():
    one, alice, mallory = joined("one", ["administrator"]), joined("alice", ["administrator"]), joined("mallory")
    proposal = propose_factor_reset(alice.person, actor=one.actor("people"), reason=REASON)
    for who in (alice, mallory):
        with pytest.raises(Denied):
            confirm_factor_reset(proposal, actor=who.actor("people"))
    with pytest.raises(Denied):
        decline_factor_reset(proposal, actor=mallory.actor("people"))
    decline_factor_reset(proposal, actor=alice.actor())
    with pytest.raises(Conflict):
        confirm_factor_reset(FactorReset.objects.get(), actor=joined("two", ["administrator"]).actor("people"))
    assert TotpDevice.objects.usable().filter(user=alice.person).exists()


def test_an_administrator_with_a_factor_of_today_does_not_confirm_a_reset():
    one, two, alice = joined("one", ["administrator"]), joined("two", ["administrator"]), joined("alice")
    proposal = propose_factor_reset(alice.person, actor=one.actor("people"), reason=REASON)
    added = enrol_totp(two.person, actor=two.actor("factors"), name="new")
    code = otp.code_at(seed_of(added), otp.step_at(clock.now()))
    two.device = confirm_totp(added, actor=two.actor("factors"), code=code)
    with pytest.raises(Denied) as denied:
        confirm_factor_reset(proposal, actor=two.actor("people"))
    assert denied.value.code == "factor_too_new"


def test_one_proposal_a_person_at_a_time_and_a_reason_is_needed():
    one, alice = joined("one", ["administrator"]), joined("alice")
    with pytest.raises(Invalid):
        propose_factor_reset(alice.person, actor=one.actor("people"), reason="")
    propose_factor_reset(alice.person, actor=one.actor("people"), reason=REASON)
    with pytest.raises(Conflict):
        propose_factor_reset(alice.person, actor=one.actor("people"), reason=REASON)
    with pytest.raises(Denied):
        propose_factor_reset(one.person, actor=one.actor("people"), reason=REASON)


# --- the shell


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


# --- nothing secret stays


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
