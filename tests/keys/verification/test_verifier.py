"""The decision about a presented key, on real rows read by the verifier's own role."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connections

from keys.crypto.digests import digest
from keys.crypto.key_text import mint
from keys.lifecycle.revocation import reinstate_key, report_leak, revoke_key, suspend_key
from keys.models import Environment, Service, Sighting, UsageCount
from keys.policy.addresses import outside_networks
from keys.states import RevocationReason
from keys.verification.credentials import authenticate_credential
from keys.verification.lookup import find
from keys.verification.reasons import Reason
from keys.verification.verification import verify_key
from keys.verification.verifier import Binding, Client, Question, not_in_force
from tests.people import acting, issued, verifying_credential
from tests.uses import uses_of

pytestmark = pytest.mark.usefixtures("sealing")


@pytest.fixture
def key(world):
    return issued(world)


def binding(world, environment="prod", service="orders"):
    return Binding(
        service_id=Service.objects.get(slug=service).pk, environment_id=Environment.objects.get(tag=environment).pk
    )


def ask(world, text, *, scopes=(), address=None, **where):
    question = Question(scopes=scopes, client=Client(address=address))
    return verify_key(text, binding=binding(world, **where), question=question).reason


def test_a_living_key_verifies_for_its_service_and_environment(world, key):
    _managed, version, secret = key
    verdict = verify_key(secret.reveal(), binding=binding(world), question=Question(scopes=("orders:read",)))
    assert verdict.reason is None
    assert verdict.found.fields.kid == version.kid
    assert verdict.found.ends_at == version.expires_at
    assert verdict.found.owner_team == "reporting"


@pytest.mark.usefixtures("one_day")
def test_a_key_is_held_to_its_limits_by_whoever_asks_the_database(world):
    _, version, secret = issued(world, name="Limited", limits={"requests_per_day": 3})
    text = secret.reveal()
    assert ask(world, text, scopes=("orders:write",)) == Reason.SCOPE
    assert [ask(world, text) for _ in range(5)] == [None] * 3 + [Reason.QUOTA] * 2
    assert uses_of(version) == {"valid": 3, "quota": 2, "scope": 1}


def test_what_is_no_key_is_malformed_and_a_strangers_key_is_unknown(world, key):
    assert ask(world, "") == Reason.MALFORMED
    assert ask(world, "ks_prod_nonsense") == Reason.MALFORMED
    assert ask(world, mint("prod").secret.reveal()) == Reason.UNKNOWN


def test_a_wrong_secret_for_a_known_kid_is_unknown_and_leaves_no_trace(world, key):
    _, version, _ = key
    assert ask(world, mint("prod", kid=version.kid).secret.reveal()) == Reason.UNKNOWN
    assert not UsageCount.objects.exists()
    assert not Sighting.objects.exists()


def test_services_and_environments_never_verify_each_other(world, key):
    text = key[2].reveal()
    assert ask(world, text, environment="test") == Reason.WRONG_ENVIRONMENT
    assert ask(world, text, environment="dev") == Reason.WRONG_ENVIRONMENT
    assert ask(world, text, service="keystead") == Reason.WRONG_SERVICE


def test_scopes_match_exactly(world, key):
    text = key[2].reveal()
    assert ask(world, text, scopes=("orders:read",)) is None
    assert ask(world, text, scopes=("orders:read", "orders:write")) == Reason.SCOPE
    assert ask(world, text, scopes=("orders",)) == Reason.SCOPE
    assert ask(world, text, scopes=("orders:*",)) == Reason.SCOPE


def test_networks_bind_and_a_missing_address_is_outside(world):
    _, _, secret = issued(world, networks=("10.1.0.0/16", "2001:db8::/32"))
    text = secret.reveal()
    assert ask(world, text, address="10.1.2.3") is None
    assert ask(world, text, address="::ffff:10.1.2.3") is None
    assert ask(world, text, address="2001:db8::1") is None
    assert ask(world, text, address="10.2.0.1") == Reason.NETWORK
    assert ask(world, text, address=None) == Reason.NETWORK


def test_suspended_reinstated_and_revoked_keys_answer_so_at_once(world, key):
    managed, _, secret = key
    text = secret.reveal()
    suspend_key(managed, actor=acting(world.alice, "suspend"), reason="investigation")
    assert ask(world, text) == Reason.SUSPENDED
    reinstate_key(managed, actor=acting(world.admin, "reinstate"))
    assert ask(world, text) is None
    revoke_key(managed, actor=acting(world.alice, "revoke"), reason=RevocationReason.CESSATION_OF_OPERATION)
    assert ask(world, text) == Reason.REVOKED


def test_a_leaked_key_stops_and_a_compromised_one_says_so(world, key):
    managed, _, secret = key
    report_leak(managed, actor=acting(world.alice), comment="pasted into a chat")
    assert ask(world, secret.reveal()) == Reason.SUSPENDED
    revoke_key(managed, actor=acting(world.responder, "revoke"), reason=RevocationReason.KEY_COMPROMISE)
    assert ask(world, secret.reveal()) == Reason.COMPROMISED


def test_time_ends_a_version_though_no_worker_runs(world, key):
    found = find(key[1].kid)
    end = found.fields.expires_at

    def at(moment, **fields):
        return not_in_force(replace(found, at=moment, fields=replace(found.fields, **fields)))

    second = timedelta(seconds=1)
    assert at(end - second) is None
    assert at(end) == Reason.EXPIRED
    assert at(end - second, authorised_until=end - second) == Reason.EXPIRED
    assert at(end - second, retire_at=end - second) == Reason.RETIRED
    assert at(found.fields.activated_at - second) == Reason.NOT_YET_ACTIVE
    assert at(end - second, state="a state of tomorrow") == Reason.SUSPENDED


CHANGES = {
    "state": ("keys_keyversion", "state = 'suspended'"),
    "sequence": ("keys_keyversion", "sequence = sequence + 1"),
    "expires_at": ("keys_keyversion", "expires_at = expires_at + interval '1 year'"),
    "retire_at": ("keys_keyversion", "retire_at = now() + interval '1 year'"),
    "activated_at": ("keys_keyversion", "activated_at = activated_at - interval '1 hour'"),
    "row_mac": ("keys_keyversion", "row_mac = replace(row_mac, ':', ';')"),
    "scopes": ("keys_managedkey", "scopes = scopes || '{orders:write}'"),
    "networks": ("keys_managedkey", "networks = '{10.0.0.0/8}'"),
    "kind": ("keys_managedkey", "kind = 'hmac-sha256'"),
    "authorised_until": ("keys_managedkey", "authorised_until = authorised_until + interval '1 year'"),
    "service": ("keys_managedkey", "service_id = (SELECT id FROM keys_service WHERE slug = 'keystead')"),
    "environment": ("keys_managedkey", "environment_id = (SELECT id FROM keys_environment WHERE tag = 'test')"),
}


@pytest.mark.parametrize("column", CHANGES)
def test_a_row_changed_by_sql_does_not_verify(world, key, superuser, column):
    table, change = CHANGES[column]
    change_behind_the_back(superuser, f"UPDATE {table} SET {change}")
    assert ask(world, key[2].reveal()) == Reason.INTEGRITY_FAILURE
    assert ask(world, key[2].reveal(), service="keystead", environment="test") == Reason.INTEGRITY_FAILURE


def test_a_planted_digest_does_not_make_another_secret_valid(world, key, superuser):
    _other_managed, _other, other_secret = issued(world, name="Another report")
    planted = mint("prod", kid=key[1].kid).secret
    change_behind_the_back(
        superuser, "UPDATE keys_keyversion SET digest = %s WHERE id = %s", [digest(planted), key[1].pk]
    )
    assert ask(world, planted.reveal()) == Reason.INTEGRITY_FAILURE
    assert ask(world, key[2].reveal()) == Reason.UNKNOWN
    assert ask(world, other_secret.reveal()) is None


def change_behind_the_back(superuser, statement, params=None):
    """What a database administrator can do: past every trigger."""
    for table in ("keys_keyversion", "keys_managedkey"):
        superuser.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
    superuser.execute(statement, params)


def test_uses_and_sightings_are_counted(world, key):
    _, version, secret = key
    client = Client(address="192.0.2.7", user_agent="curl/8", instance="pod-1")
    for _ in range(3):
        verify_key(secret.reveal(), binding=binding(world), question=Question(client=client))
    verify_key(secret.reveal(), binding=binding(world), question=Question(scopes=("orders:write",)))
    assert uses_of(version) == {"valid": 3, "scope": 1}
    seen = Sighting.objects.get(version=version, address="192.0.2.7")
    assert (seen.user_agent, seen.instance, seen.count) == ("curl/8", "pod-1", 3)
    assert seen.first_at <= seen.last_at
    assert Sighting.objects.get(version=version, address=None).count == 1


def test_invented_clients_do_not_fill_the_disk(world, key, monkeypatch):
    monkeypatch.setattr("keys.verification.counting.sightings.MOST_SIGHTINGS", 3)
    _, version, secret = key
    for number in range(6):
        client = Client(instance=f"pod-{number}")
        assert verify_key(secret.reveal(), binding=binding(world), question=Question(client=client)).reason is None
    verify_key(secret.reveal(), binding=binding(world), question=Question(client=Client(instance="pod-1")))
    assert dict(Sighting.objects.values_list("instance", "count")) == {"pod-0": 1, "pod-1": 2, "pod-2": 1}
    assert uses_of(version) == {"valid": 7}


def test_a_count_that_cannot_be_written_does_not_fail_the_verification(world, key, superuser):
    verify_key(key[2].reveal(), binding=binding(world), question=Question())
    with superuser.transaction():
        superuser.execute("LOCK TABLE keys_usagecount IN SHARE MODE")  # its row alone is another one after the hour
        assert ask(world, key[2].reveal()) is None
    assert uses_of(key[1]) == {"valid": 1}


def test_the_verifier_can_write_nothing_but_usage(world, key):
    with connections["verifier"].cursor() as cursor:
        for table in ("keys_keyversion", "keys_managedkey", "keys_service", "keys_environment", "keys_team"):
            for statement in (f"UPDATE {table} SET id = id", f"DELETE FROM {table}"):
                with pytest.raises(Exception, match="permission denied"):
                    cursor.execute(statement)
        for table in ("keys_person", "keys_session", "keys_keyrequest", "audit_event", "audit_private"):
            with pytest.raises(Exception, match="permission denied"):
                cursor.execute(f"SELECT * FROM {table}")
        with pytest.raises(Exception, match="permission denied"):
            cursor.execute("DELETE FROM keys_usagecount")


def test_a_credential_is_a_key_of_keysteads_own_service_and_no_other(world, key):
    credential = verifying_credential(world)
    caller = authenticate_credential(credential.reveal(), address="192.0.2.1")
    assert caller is not None
    assert caller.asks_about == binding(world)
    assert authenticate_credential(key[2].reveal(), address=None) is None
    assert authenticate_credential(mint("prod").secret.reveal(), address=None) is None
    assert authenticate_credential("", address=None) is None


def test_addresses_are_compared_within_their_family():
    assert not outside_networks([], None)
    assert outside_networks(["0.0.0.0/1"], "::1")
    assert not outside_networks(["10.0.0.0/8"], "10.255.255.255")
