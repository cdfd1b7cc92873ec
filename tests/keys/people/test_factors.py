"""Second factors and recovery codes: each proof counts once, seeds rest sealed, and they are one's own to change."""

import pytest
from django.db import connection, transaction
from django.db.utils import IntegrityError

from audit import clock
from keys.crypto import otp
from keys.errors import Conflict, Denied
from keys.models import RecoveryCode, TotpDevice
from keys.people.factors import confirm_totp, enrol_totp, remove_factor, seed_of
from keys.people.proofs import Proof, Refusal, prove_recovery_code, prove_totp
from keys.people.recovery_codes import make_recovery_codes
from tests.accounts import OPERATOR, actions, joined
from tests.races import in_parallel

pytestmark = pytest.mark.usefixtures("committed_db")


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
