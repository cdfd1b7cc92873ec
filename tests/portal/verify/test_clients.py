"""Programs that verify in their own process: what they get is signed, bounded by a lease, and theirs alone."""

from __future__ import annotations

import hashlib
import json
import uuid

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.test import Client

from audit import clock
from audit.canonical import canonical_json
from keys.crypto import base64url
from keys.crypto.digests import digest
from keys.crypto.secrets import Secret
from keys.lifecycle.revocation import revoke_key
from keys.models import Sighting, UsageCount, Verifier
from keys.states import RevocationReason
from keys.verification.memory import lease
from keys.verification.programs import renewing
from keys.verification.programs.renewing import SIGNED_CHANGES
from keys.verification.programs.sharing import MAGIC, RECORD, SIGNED_SNAPSHOT
from keys.verification.watching.receipts import How, stop_with_receipt
from tests.keys.verification.following import behind_the_back
from tests.people import acting, issued, verifying_credential
from tests.signing_keys import allow_signing, signer_of
from tests.snapshots import as_records

pytestmark = pytest.mark.usefixtures("sealing")


class Program:
    """A client of the site that shows a credential."""

    def __init__(self, credential: str) -> None:
        self._client = Client(HTTP_HOST="localhost", HTTP_AUTHORIZATION=f"Bearer {credential}")

    def post(self, path, body):
        return self._client.post(path, json.dumps(body), content_type="application/json")

    def get(self, path):
        return self._client.get(path)

    def delete(self, path):
        return self._client.delete(path)


@pytest.fixture
def program(world):
    return Program(verifying_credential(world).reveal())


def public_key(kid):
    keys = {each["kid"]: each for each in Client(HTTP_HOST="localhost").get("/v1/jwks").json()["keys"]}
    return Ed25519PublicKey.from_public_bytes(base64url.decode(keys[kid]["x"]))


def revoke(world, key):
    revoke_key(key, actor=acting(world.responder, "revoke"), reason=RevocationReason.KEY_COMPROMISE)


def test_a_snapshot_holds_what_verifies_here_and_is_signed(world, program):
    _, version, secret = issued(world)
    dead = issued(world)
    revoke(world, dead[0])
    elsewhere = issued(world, environment="test", cryptoperiod_days=10)
    content = program.get("/v1/snapshot").content
    header, records = as_records(content)
    records = list(records)
    assert [record[0] for record in records] == [digest(secret)]
    assert records[0][1].rstrip(b"\0").decode() == version.kid
    assert records[0][4] == int(version.expires_at.timestamp() * 1000)
    assert header["policies"][records[0][2]]["scopes"] == ["orders:read"]
    assert header["count"] == 1
    assert header["lease_ms"] == 3000
    assert digest(elsewhere[2]) not in content
    assert content.startswith(MAGIC)
    signed = SIGNED_SNAPSHOT + hashlib.sha256(content[:-64]).digest()
    public_key(header["kid"]).verify(content[-64:], signed)
    with pytest.raises(InvalidSignature):
        public_key(header["kid"]).verify(content[-64:], SIGNED_SNAPSHOT + hashlib.sha256(content[1:-64]).digest())


def test_a_snapshot_holds_the_public_halves_of_pairs_apart_and_never_a_shared_secret(world, program, superuser):
    allow_signing(world, signature_window_seconds=45)
    secret = issued(world)[2]
    pair, shared = signer_of(world, "ed25519", name="Pair"), signer_of(world, "hmac-sha256", name="Shared")
    content = program.get("/v1/snapshot").content
    header, records = as_records(content)
    assert [(record[0], header["count"]) for record in records] == [(digest(secret), 1)]
    [(public_key, kid, policy, _, ends_at)] = RECORD.iter_unpack(base64url.decode(header["signers"]))
    assert base64url.encode(public_key) == pair.version.public_key
    assert (kid.rstrip(b"\0").decode(), ends_at) == (pair.version.kid, int(pair.version.expires_at.timestamp() * 1000))
    assert (header["policies"][policy]["window"], header["policies"][policy]["scopes"]) == (45, ["orders:read"])
    assert shared.version.kid.encode() not in content
    assert digest(Secret(shared.secret)) not in content
    behind_the_back(superuser, f"UPDATE keys_keyversion SET public_key = '{'A' * 43}' WHERE id = '{pair.version.pk}'")
    assert as_records(program.get("/v1/snapshot").content)[0]["signers"] == "", "a row that SQL changed is nobody's"


def test_a_renewal_tells_of_pairs_and_when_they_end(world, program):
    allow_signing(world)
    name = program.post("/v1/verifiers", {"name": "orders-api"}).json()["verifier"]
    position = as_records(program.get("/v1/snapshot").content)[0]["position"]
    pair, shared = signer_of(world, "ed25519", name="Pair"), signer_of(world, "hmac-sha256", name="Shared")

    def told(position):
        answer = program.post(f"/v1/verifiers/{name}/lease", {"applied": position}).json()
        return {each.pop("key_id"): each for each in answer["changes"]}, answer["position"]

    first, position = told(position)
    [signer] = first[str(pair.key.pk)]["signers"]
    assert (signer["kid"], signer["public_key"]) == (pair.version.kid, pair.version.public_key)
    assert (signer["policy"]["window"], "digest" in signer) == (60, False)
    assert first[str(shared.key.pk)] == {"versions": [], "signers": [], "gone": [shared.version.kid]}
    revoke(world, pair.key)
    assert told(position)[0] == {str(pair.key.pk): {"versions": [], "signers": [], "gone": [pair.version.kid]}}


def test_a_renewal_brings_what_changed_and_is_the_acknowledgement(world, program):
    key, version, _ = issued(world)
    name = program.post("/v1/verifiers", {"name": "orders-api"}).json()["verifier"]
    header, _ = as_records(program.get("/v1/snapshot").content)
    first = program.post(f"/v1/verifiers/{name}/lease", {"applied": header["position"]}).json()
    assert first["lease_ms"] == 3000
    revoke(world, key)
    second = program.post(f"/v1/verifiers/{name}/lease", {"applied": first["position"]}).json()
    assert second["changes"] == [{"key_id": str(key.pk), "versions": [], "signers": [], "gone": [version.kid]}]
    told = {each: second[each] for each in ("lease_ms", "position", "changes", "server_time", "resync")}
    message = SIGNED_CHANGES + f"{name}\n{first['position']}\n".encode() + canonical_json(told)
    public_key(second["kid"]).verify(base64url.decode(second["signature"]), message)
    assert Verifier.objects.get(pk=name).applied == first["position"].partition("@")[0], (
        "what was only sent is not acknowledged"
    )
    third = program.post(f"/v1/verifiers/{name}/lease", {"applied": second["position"]}).json()
    assert third["changes"] == []
    receipt = stop_with_receipt(key, action="revoked")
    assert [(word["name"], word["how"]) for word in receipt.verifiers] == [("orders-api", How.ACKNOWLEDGED)]


def test_what_came_with_a_ring_is_acknowledged_without_a_new_lease(world, program):
    key = issued(world)[0]
    name = program.post("/v1/verifiers", {"name": "orders-api"}).json()["verifier"]
    position = as_records(program.get("/v1/snapshot").content)[0]["position"]
    position = program.post(f"/v1/verifiers/{name}/lease", {"applied": position}).json()["position"]
    renewed_at = Verifier.objects.get(pk=name).renewed_at
    revoke(world, key)
    place, past = lease.history()[1], position.partition("@")[2]
    answer = program.post(f"/v1/verifiers/{name}/applied", {"applied": f"{place}@{past}"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert (Verifier.objects.get(pk=name).applied, Verifier.objects.get(pk=name).renewed_at) == (place, renewed_at)
    receipt = stop_with_receipt(key, action="revoked")
    assert [word["how"] for word in receipt.verifiers] == [How.ACKNOWLEDGED]
    other = Program(verifying_credential(world, environment="test").reveal())
    for asking in (other, program):
        answer = asking.post(f"/v1/verifiers/{name}/applied", {"applied": position})
        assert (answer.status_code, answer.json()["code"]) == (409, "resync"), "none of its own, and one that ended"
        assert program.delete(f"/v1/verifiers/{name}").status_code in (204, 404)
    assert Verifier.objects.get(pk=name).applied == place
    assert Program("x").post(f"/v1/verifiers/{name}/applied", {"applied": position}).status_code == 401


@pytest.mark.parametrize("door", ["lease", "applied"])
def test_what_was_said_on_its_way_takes_back_no_later_word(world, program, door):
    """A program applies what comes with a ring while its renewal is under way, and says so before that arrives."""
    key = issued(world)[0]
    name = program.post("/v1/verifiers", {"name": "orders-api"}).json()["verifier"]
    position = as_records(program.get("/v1/snapshot").content)[0]["position"]
    earlier = program.post(f"/v1/verifiers/{name}/lease", {"applied": position}).json()["position"]
    revoke(world, key)
    later = f"{lease.history()[1]}@{position.partition('@')[2]}"
    assert program.post(f"/v1/verifiers/{name}/applied", {"applied": later}).status_code == 204
    assert program.post(f"/v1/verifiers/{name}/{door}", {"applied": earlier}).status_code in (200, 204)
    assert Verifier.objects.get(pk=name).applied == later.partition("@")[0]
    receipt = stop_with_receipt(key, action="revoked")
    assert [word["how"] for word in receipt.verifiers] == [How.ACKNOWLEDGED]


def test_a_stop_waits_for_a_client_that_does_not_answer_and_not_for_one_that_left(world, program, superuser):
    behind_the_back(superuser, "UPDATE keys_environment SET max_staleness_ms = 3000 WHERE tag = 'prod'")
    key = issued(world)[0]
    names = [program.post("/v1/verifiers", {"name": each}).json()["verifier"] for each in ("silent", "gone")]
    position = as_records(program.get("/v1/snapshot").content)[0]["position"]
    for name in names:
        assert program.post(f"/v1/verifiers/{name}/lease", {"applied": position}).status_code == 200
    assert program.delete(f"/v1/verifiers/{names[1]}").status_code == 204
    revoke(world, key)
    words = stop_with_receipt(key, action="revoked").verifiers
    assert [(word["name"], word["how"]) for word in words] == [("silent", How.LEASE_ENDED)]
    assert program.post(f"/v1/verifiers/{names[1]}/lease", {"applied": position}).status_code == 404


def test_a_change_of_the_catalogue_and_an_unknown_position_ask_for_a_new_snapshot(world, program, superuser):
    name = program.post("/v1/verifiers", {"name": "orders-api"}).json()["verifier"]
    position = as_records(program.get("/v1/snapshot").content)[0]["position"]
    behind_the_back(superuser, "UPDATE keys_environment SET name = name")
    answer = program.post(f"/v1/verifiers/{name}/lease", {"applied": position})
    assert (answer.status_code, answer.json()["code"]) == (409, "resync")
    answer = program.post(f"/v1/verifiers/{name}/lease", {"applied": "99999999:99999999:"})
    assert (answer.status_code, answer.json()["code"]) == (409, "resync")


@pytest.mark.parametrize("odd", ["5:3:", "0:0:", "3:5:9", "3:7:5,4"])
def test_a_position_that_is_none_is_refused_and_holds_up_no_revocation(world, program, superuser, odd):
    behind_the_back(superuser, "UPDATE keys_environment SET max_staleness_ms = 3000 WHERE tag = 'prod'")
    key = issued(world)[0]
    name = program.post("/v1/verifiers", {"name": "orders-api"}).json()["verifier"]
    position = as_records(program.get("/v1/snapshot").content)[0]["position"]
    assert program.post(f"/v1/verifiers/{name}/lease", {"applied": position}).status_code == 200
    for door in ("lease", "applied"):
        answer = program.post(f"/v1/verifiers/{name}/{door}", {"applied": odd})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert Verifier.objects.get(pk=name).applied == position.partition("@")[0]
    revoke(world, key)
    assert len(stop_with_receipt(key, action="revoked").verifiers) == 1


@pytest.mark.parametrize(
    "other", ["99999999:99999999:", "99999999:99999999:{past}", "{place}", "{place}@0123456789abcdef"]
)
def test_a_position_of_another_past_acknowledges_nothing(world, program, superuser, other):
    behind_the_back(superuser, "UPDATE keys_environment SET max_staleness_ms = 3000 WHERE tag = 'prod'")
    key = issued(world)[0]
    name = program.post("/v1/verifiers", {"name": "orders-api"}).json()["verifier"]
    position = as_records(program.get("/v1/snapshot").content)[0]["position"]
    assert program.post(f"/v1/verifiers/{name}/lease", {"applied": position}).status_code == 200
    # As after a fail-over to a database that is behind: it still answers by what it holds, until its lease ends.
    revoke(world, key)
    place, at, past = position.partition("@")
    odd = other.format(place=place, past=at + past)
    for door in ("lease", "applied"):
        answer = program.post(f"/v1/verifiers/{name}/{door}", {"applied": odd})
        assert (answer.status_code, answer.json()["code"]) == (409, "resync")
    words = stop_with_receipt(key, action="revoked").verifiers
    assert [word["how"] for word in words] == [How.LEASE_ENDED]


def test_others_find_nothing(world, program):
    name = program.post("/v1/verifiers", {"name": "orders-api"}).json()["verifier"]
    key_of_orders = Program(issued(world)[2].reveal())
    other = Program(verifying_credential(world, environment="test").reveal())
    position = as_records(program.get("/v1/snapshot").content)[0]["position"]
    for asking, status in ((Program("x"), 401), (key_of_orders, 401)):
        assert asking.get("/v1/snapshot").status_code == status
        assert asking.post("/v1/verifiers", {"name": "a"}).status_code == status
    assert other.post(f"/v1/verifiers/{name}/lease", {"applied": position}).status_code == 404
    assert other.delete(f"/v1/verifiers/{name}").status_code == 404


def test_a_credential_has_so_many_verifiers_and_no_more(world, program, superuser, monkeypatch):
    monkeypatch.setattr(renewing, "MOST_LIVING", 2)
    monkeypatch.setattr(renewing, "MOST_ENDED", 1)
    names = [program.post("/v1/verifiers", {"name": f"v{number}"}).json()["verifier"] for number in range(2)]
    answer = program.post("/v1/verifiers", {"name": "one too many"})
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_verifiers")
    assert int(answer.headers["Retry-After"]) > 0
    other = Program(verifying_credential(world, environment="test").reveal())
    assert other.post("/v1/verifiers", {"name": "of another credential"}).status_code == 201
    assert program.delete(f"/v1/verifiers/{names[0]}").status_code == 204
    assert program.post("/v1/verifiers", {"name": "in its place"}).status_code == 201
    # Whoever dies and begins again for ever leaves one behind, and the oldest go.
    superuser.execute(
        "UPDATE keys_verifier SET valid_until = valid_until - interval '2 minutes', renewed_at = started_at"
    )
    superuser.execute("UPDATE keys_verifier SET valid_until = valid_until - interval '1 hour' WHERE name = 'v0'")
    assert program.post("/v1/verifiers", {"name": "after the dead"}).status_code == 201
    left = list(Verifier.objects.exclude(name="of another credential").values_list("name", flat=True))
    assert len(left) == 2
    assert "after the dead" in left
    assert "v0" not in left


def test_odd_questions_are_refused(program, superuser):
    name = program.post("/v1/verifiers", {"name": "orders-api"}).json()["verifier"]
    for body in ({}, {"applied": 1}, {"applied": "1:2"}, {"applied": "x"}, {"applied": "1:1:", "more": 1}, []):
        assert program.post(f"/v1/verifiers/{name}/lease", body).status_code == 422
    for body in ({}, {"name": ""}, {"name": "a\u202eb"}, {"name": "a" * 81}, {"title": "a"}):
        assert program.post("/v1/verifiers", body).status_code == 422
    assert program.get("/v1/snapshot?key=1").status_code == 400
    assert program.get("/v1/verifiers").status_code == 405
    behind_the_back(superuser, "UPDATE keys_environment SET max_staleness_ms = 0 WHERE tag = 'prod'")
    assert program.post("/v1/verifiers", {"name": "a"}).json()["code"] == "not_kept_in_memory"


def test_what_a_client_counted_is_added_once_and_only_of_its_own_keys(world, program):
    version, elsewhere = issued(world)[1], issued(world, environment="test", cryptoperiod_days=10)[1]
    name = program.post("/v1/verifiers", {"name": "orders-api"}).json()["verifier"]
    minute = int(clock.now().timestamp() // 60 * 60_000)
    use = {"kid": version.kid, "outcome": "valid", "minute": minute, "count": 7, "client": {"address": "192.0.2.3"}}
    body = {"batch": str(uuid.uuid4()), "uses": [use, use | {"kid": elsewhere.kid}, use | {"outcome": "scope"}]}
    for _ in range(3):
        assert program.post(f"/v1/verifiers/{name}/uses", body).status_code == 204
    counts = UsageCount.objects.exclude(version__managed_key__name="Verifies orders keys")
    assert sorted(counts.values_list("version", "outcome", "count")) == sorted(
        [(version.pk, "valid", 7), (version.pk, "scope", 7)]
    )
    assert Sighting.objects.get(version=version).address == "192.0.2.3"
    late = {"batch": str(uuid.uuid4()), "uses": [use | {"minute": minute - 3 * 86_400_000}, use | {"count": 1}]}
    assert program.post(f"/v1/verifiers/{name}/uses", late).status_code == 204, "or it would be brought for ever"
    assert UsageCount.objects.get(version=version, outcome="valid").count == 8
    for odd in (
        {"minute": 1},
        {"count": 0},
        {"outcome": "fine"},
        {"outcome": ["valid"]},
        {"outcome": {}},
        {"kid": ""},
        {"more": 1},
        {"client": {"address": "x"}},
    ):
        answer = program.post(f"/v1/verifiers/{name}/uses", body | {"uses": [use | odd]})
        assert answer.status_code == 422, odd
    other = Program(verifying_credential(world, environment="test").reveal())
    assert other.post(f"/v1/verifiers/{name}/uses", body).status_code == 404
