"""All processes remember nonces in the same store; when it changes, whatever the other may have accepted is refused."""

import os
import time
from collections.abc import Sequence
from typing import Any

import pytest
from django.db import DatabaseError, connections

from keys.models import NonceStore, SpentNonce
from keys.nonces import spending
from keys.nonces.in_database import NoncesInDatabase
from keys.nonces.in_force import CHANGE_DOUBT_SECONDS, LEASE_SECONDS, StoreInForce
from keys.nonces.in_valkey import START, NoncesInValkey, ValkeyDown
from keys.nonces.members import KEPT_SECONDS, NonceStoreUnavailable, Signed
from keys.nonces.spending import Nonces
from keys.states import NonceStoreName

KID = "8nbmcDHypESyDn"


class Away(NoncesInValkey):
    """A Valkey that this process does not reach while `is_away`."""

    is_away = True

    def spend(self, kid: str, nonce: str, *, created: int, now: float) -> bool:
        if self.is_away:
            raise ValkeyDown("ConnectionError")
        return super().spend(kid, nonce, created=created, now=now)

    def spend_all(self, signed: Sequence[Signed]) -> list[bool | NonceStoreUnavailable | ValkeyDown]:
        return [ValkeyDown("ConnectionError")] * len(signed) if self.is_away else super().spend_all(signed)

    def ping(self) -> bool:
        return not self.is_away


def process(valkey: NoncesInValkey | None = None) -> Nonces:
    """What one process has."""
    return Nonces(valkey or NoncesInValkey(os.environ["REDIS_URL"]), NoncesInDatabase(), StoreInForce())


def spend(nonces: Nonces, nonce: str, *, age: int = 0) -> bool:
    now = time.time()
    return nonces.spend(KID, nonce, created=int(now) - age, now=now)


def spend_all(nonces: Nonces, *letters: str, age: int = 0) -> list[bool | str]:
    """What becomes of many in one exchange, whoever refuses."""
    now = time.time()
    outcomes = nonces.spend_all([Signed(KID, letter * 22, int(now) - age, now) for letter in letters])
    return [each.code if isinstance(each, NonceStoreUnavailable) else each for each in outcomes]


def put_in_force(store: NonceStoreName, *, seconds_ago: float) -> None:
    with connections["verifier"].cursor() as cursor:
        cursor.execute(
            "UPDATE keys_noncestore SET store = %s, since = clock_timestamp() - make_interval(secs => %s)",
            [str(store), seconds_ago],
        )


def code_of(nonces: Nonces, nonce: str, *, age: int = 0) -> str:
    with pytest.raises(NonceStoreUnavailable) as refused:
        spend(nonces, nonce, age=age)
    return refused.value.code


def test_it_is_valkey_by_itself(settled_nonces: Any) -> None:
    nonces = process()
    assert [spend(nonces, "n" * 22), spend(nonces, "n" * 22), spend(process(), "n" * 22)] == [True, False, False]
    assert not SpentNonce.objects.exists()


def test_a_store_that_is_new_refuses_what_was_signed_before_it(settled_nonces: Any) -> None:
    NonceStore.objects.all().delete()
    assert code_of(process(), "n" * 22) == "nonce_store_young"
    assert NonceStore.objects.get().store == "valkey"
    put_in_force(NonceStoreName.VALKEY, seconds_ago=CHANGE_DOUBT_SECONDS + 2)
    assert spend(process(), "n" * 22)


def test_where_another_thread_reads_the_store_begins_before_the_first_request(settled_nonces: Any, valkey: Any) -> None:
    valkey.delete(START)
    here = process()
    here.renew()
    began = int(valkey.get(START))
    assert abs(began - time.time()) < 60
    valkey.set(START, began - KEPT_SECONDS)  # as if that had been a while ago: the first request does not begin anew
    assert spend(here, "first of all")


def test_without_valkey_the_database_takes_over_and_forgets_nobody(
    settled_nonces: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Away(os.environ["REDIS_URL"])
    here, there = process(away), process()
    assert spend(there, "seen-by-valkey-only-000")
    assert code_of(here, "seen-by-valkey-only-000") == "nonce_store_unavailable"
    assert NonceStore.objects.get().store == "valkey", "a moment without Valkey changes nothing"
    monkeypatch.setattr(spending, "PATIENCE_SECONDS", 0.0)
    assert code_of(here, "seen-by-valkey-only-000") == "nonce_store_unavailable"
    assert NonceStore.objects.get().store == "database"
    assert code_of(here, "seen-by-valkey-only-000") == "nonce_store_young", "what Valkey knows may be a repetition"
    put_in_force(NonceStoreName.DATABASE, seconds_ago=CHANGE_DOUBT_SECONDS + 2)
    here, there = process(away), process()
    assert [spend(here, "n" * 22), spend(here, "n" * 22), spend(there, "n" * 22)] == [True, False, False]
    assert SpentNonce.objects.count() == 1


def test_valkey_comes_back_after_a_while_and_what_the_database_knows_is_refused(settled_nonces: Any) -> None:
    away = Away(os.environ["REDIS_URL"])
    put_in_force(NonceStoreName.DATABASE, seconds_ago=50)
    here = process(away)
    assert spend(here, "n" * 22)
    away.is_away = False
    assert not spend(here, "n" * 22), "not before the database has had its term"
    put_in_force(NonceStoreName.DATABASE, seconds_ago=70)
    here = process(away)
    assert code_of(here, "n" * 22) == "nonce_store_young"
    assert NonceStore.objects.get().store == "valkey"


def test_without_the_database_a_reading_counts_for_its_lease_only(
    settled_nonces: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_force = StoreInForce()
    known = in_force.current()

    def fails() -> None:
        raise DatabaseError("away")

    monkeypatch.setattr(in_force, "_read", fails)
    in_force._known = known._replace(read_at=known.read_at - LEASE_SECONDS + 0.5)
    assert in_force.current().store == NonceStoreName.VALKEY
    in_force._known = known._replace(read_at=known.read_at - LEASE_SECONDS)
    with pytest.raises(NonceStoreUnavailable):
        in_force.current()


def test_where_another_thread_reads_nobody_who_answers_does(
    settled_nonces: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_force = StoreInForce()
    known = in_force.renew()
    monkeypatch.setattr(in_force, "_read", lambda: pytest.fail("somebody who answers read"))
    in_force._known = known._replace(read_at=known.read_at - LEASE_SECONDS + 0.5)
    assert in_force.current().store == NonceStoreName.VALKEY
    for unknown in (known._replace(read_at=known.read_at - LEASE_SECONDS), None):
        in_force._known = unknown
        with pytest.raises(NonceStoreUnavailable):
            in_force.current()


def test_where_another_thread_reads_it_changes_the_store_too(
    settled_nonces: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spending, "PATIENCE_SECONDS", 0.0)
    away = Away(os.environ["REDIS_URL"])
    here = process(away)
    here.renew()
    assert code_of(here, "n" * 22) == "nonce_store_unavailable"
    assert NonceStore.objects.get().store == "valkey", "who answers changes nothing"
    here.renew()
    assert NonceStore.objects.get().store == "database"
    here.renew()
    assert code_of(here, "n" * 22) == "nonce_store_young"
    away.is_away = False
    put_in_force(NonceStoreName.DATABASE, seconds_ago=70)
    here.renew()
    assert NonceStore.objects.get().store == "valkey"


def test_a_database_that_is_away_ends_no_thread_that_reads(
    settled_nonces: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = process()
    here.renew()

    def fails() -> None:
        raise DatabaseError("away")

    monkeypatch.setattr(here._in_force, "_read", fails)
    here.renew()
    assert spend(here, "n" * 22), "what is known is used for as long as it may"


def test_nobody_changes_what_somebody_changed_meanwhile(settled_nonces: Any) -> None:
    one, other = StoreInForce(), StoreInForce()
    was = one.current()
    other.change(other.current(), NonceStoreName.DATABASE)
    since = NonceStore.objects.get().since
    one.change(was, NonceStoreName.VALKEY)
    one.change(was, NonceStoreName.DATABASE)
    assert (NonceStore.objects.get().store, NonceStore.objects.get().since) == ("database", since)


def test_the_database_forgets_what_is_over_and_nothing_else(settled_nonces: Any, superuser: Any) -> None:
    store = NoncesInDatabase()
    now = int(time.time())
    superuser.execute("INSERT INTO keys_spentnonce (digest, created) VALUES (1, %s)", [now - KEPT_SECONDS - 5])
    store.spend(KID, "young" * 5, created=now - KEPT_SECONDS + 20)
    store._swept_at -= 61
    store.spend(KID, "n" * 22, created=now)
    assert SpentNonce.objects.count() == 2
    assert not store.spend(KID, "young" * 5, created=now - KEPT_SECONDS + 20)


def test_the_verifier_may_not_unspend(settled_nonces: Any) -> None:
    with connections["verifier"].cursor() as cursor, pytest.raises(DatabaseError, match="permission denied"):
        cursor.execute("UPDATE keys_spentnonce SET created = 0")


def test_many_at_once_are_spent_where_the_store_in_force_is(settled_nonces: Any) -> None:
    here = process()
    assert spend_all(here, "a", "b", "a") == [True, True, False], "where nobody renews, one by one"
    here.renew()
    assert spend_all(here, "c", "a", "c") == [True, False, False]
    put_in_force(NonceStoreName.DATABASE, seconds_ago=50)
    here.renew()
    assert spend_all(here, "d", "d") == [True, False]
    assert SpentNonce.objects.count() == 1


def test_of_many_at_once_only_those_are_refused_that_the_other_store_may_know(settled_nonces: Any) -> None:
    here = process()
    put_in_force(NonceStoreName.VALKEY, seconds_ago=CHANGE_DOUBT_SECONDS + 20)
    here.renew()
    now = time.time()
    asked = [Signed(KID, nonce * 22, int(now) - age, now) for nonce, age in (("a", 0), ("b", 30), ("c", 1))]
    young, *rest = sorted(here.spend_all(asked), key=lambda each: each is True)
    assert (getattr(young, "code", young), rest) == ("nonce_store_young", [True, True])


def test_without_valkey_many_at_once_are_refused_until_the_database_takes_over(
    settled_nonces: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spending, "PATIENCE_SECONDS", 0.0)
    here = process(Away(os.environ["REDIS_URL"]))
    here.renew()
    assert spend_all(here, "a", "b") == ["nonce_store_unavailable"] * 2
    here.renew()
    assert NonceStore.objects.get().store == "database"
    assert spend_all(here, "a", "b") == ["nonce_store_young"] * 2


def test_many_at_once_are_refused_when_nobody_knows_where_they_are_remembered(
    settled_nonces: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = process()
    here.renew()
    known = here._in_force.current()
    here._in_force._known = known._replace(read_at=known.read_at - LEASE_SECONDS)
    assert spend_all(here, "a", "b") == ["nonce_store_unavailable"] * 2
