"""The door of the data plane over memory: every endpoint, every refusal, and nothing to learn for strangers."""

from __future__ import annotations

import base64
import io
import itertools
import json
import re
import time
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from django.test import Client
from gunicorn.http.errors import ChunkMissingTerminator, InvalidChunkSize

from keys.catalogue.own_service import OWN_SERVICE
from keys.crypto.key_text import mint
from keys.lifecycle.revocation import revoke_key
from keys.models import ManagedKey, Sighting
from keys.monitoring.tally_files import add_files
from keys.states import RevocationReason
from keys.verification.counting.tallies import TallyFile
from keys.verification.memory.recall import name_of
from keys.verification.memory.snapshot import NEVER
from tests.keys.verification.following import behind_the_back
from tests.people import acting, issued, verifying_credential
from tests.portal.verify.knocking import Door
from tests.servers import ROOT
from tests.signing_keys import allow_signing
from tests.uses import uses_of

pytestmark = pytest.mark.usefixtures("sealing")


@pytest.fixture
def credential(world):
    return verifying_credential(world).reveal()


@pytest.fixture
def key(world):
    return issued(world)


@pytest.fixture
def door(tmp_path, credential, key):
    return Door(tmp_path, credential)


def revoke(world, key):
    revoke_key(key, actor=acting(world.responder, "revoke"), reason=RevocationReason.KEY_COMPROMISE)


def test_memory_and_database_answer_alike(door, credential, key):
    body = json.dumps({"key": key[2].reveal(), "scopes": ["orders:read"], "client": {"address": "192.0.2.1"}})
    headers = {"HTTP_AUTHORIZATION": f"Bearer {credential}", "HTTP_HOST": "localhost"}
    site = Client().post("/v1/verify", body, content_type="application/json", **headers)
    ours = door.ask("/v1/verify", body.encode())
    assert list(ours.json) == list(site.json()), "the same members in the same order"
    assert ours.json | {"verified_at": ""} == site.json() | {"verified_at": ""}
    here, there = (told["verified_at"] for told in (ours.json, site.json()))
    assert re.sub(r"\d", "0", here) == re.sub(r"\d", "0", there), "the same form"
    assert abs(datetime.fromisoformat(here) - datetime.fromisoformat(there)) < timedelta(minutes=10), (
        "and the same clock"
    )
    assert {name: value for name, value in site.headers.items() if name in ours.headers} == ours.headers


def test_refusals_have_their_reasons(door, world, key):
    text = key[2].reveal()
    assert door.verify(text, scopes=["orders:write"]) == {"valid": False, "reason": "scope"}
    assert door.verify("x") == {"valid": False, "reason": "malformed"}
    revoke(world, key[0])
    door.feed.tick()
    assert door.verify(text) == {"valid": False, "reason": "compromised"}


def test_a_stranger_learns_nothing_about_a_kid(door, key):
    nobody = door.ask("/v1/verify", {"key": mint("prod").secret.reveal()})
    wrong = door.ask("/v1/verify", {"key": mint("prod", kid=key[1].kid).secret.reveal()})
    assert (nobody.status, nobody.headers, nobody.body) == (wrong.status, wrong.headers, wrong.body)
    assert nobody.json == {"valid": False, "reason": "unknown"}


def test_a_caller_asks_about_one_service_and_environment(world, tmp_path, key):
    other = Door(tmp_path, verifying_credential(world, environment="test").reveal())
    assert other.verify(key[2].reveal()) == {"valid": False, "reason": "wrong_environment"}
    assert other.introspect(key[2].reveal()).json == {"active": False}
    forwarded = other.forward(key[2].reveal())
    assert (forwarded.status, forwarded.headers["Keystead-Reason"]) == (403, "wrong_environment")


def test_without_a_credential_there_is_no_answer(door, key):
    paths = ("/v1/verify", "/v1/verify:batch", "/oauth2/introspect")
    shown = (None, "", "Basic YTpi", "Bearer", "Bearer x", "bearer ks_prod_x_y")
    for path, authorization in itertools.product(paths, shown):
        answer = door.ask(path, {"key": key[2].reveal()}, HTTP_AUTHORIZATION=authorization)
        assert (answer.status, answer.json["code"]) == (401, "invalid_token")
        assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="keystead"')


def test_a_key_of_another_service_is_no_credential(door, key):
    assert door.ask("/v1/verify", {"key": "x"}, HTTP_AUTHORIZATION=f"Bearer {key[2].reveal()}").status == 401


def test_a_revoked_credential_is_none_and_the_refusal_is_the_same(door, world, credential):
    stranger = door.ask("/v1/verify", {"key": "x"}, HTTP_AUTHORIZATION=f"Bearer {mint('prod').secret.reveal()}")
    revoke(world, next(iter(door.feed.snapshot.entries.values())) and _credential_key(credential))
    door.feed.tick()
    revoked = door.ask("/v1/verify", {"key": "x"})
    assert revoked.status == stranger.status == 401
    assert revoked.json | {"request_id": ""} == stranger.json | {"request_id": ""}
    assert door.ask("/v1/verify", b"", **{"wsgi.input": Unsent(), "CONTENT_LENGTH": "100"}).status == 401


def _credential_key(credential):
    from keys.models import KeyVersion

    return KeyVersion.objects.select_related("managed_key").get(kid=credential.split("_")[2]).managed_key


def test_headers_that_came_twice_are_refused(door, key, credential):
    twice = f"Bearer {credential}, Bearer {credential}"
    assert door.ask("/v1/verify", {"key": "x"}, HTTP_AUTHORIZATION=twice).json["code"] == "header_repeated"
    text = key[2].reveal()
    assert door.forward(text, HTTP_X_API_KEY=text).status == 400
    assert door.forward(f"{text}, Bearer {text}").status == 400
    assert door.forward(None, HTTP_X_API_KEY=f"{text},{text}").status == 400


def test_nothing_may_stand_in_the_address(door, key):
    for path in ("/v1/verify", "/v1/verify:batch", "/oauth2/introspect", "/v1/forward-auth"):
        method = "GET" if "forward" in path else "POST"
        answer = door.ask(path, b"", method=method, QUERY_STRING=f"token={key[2].reveal()}")
        assert (answer.status, answer.json["code"]) == (400, "address_not_allowed_here")
        assert key[1].kid not in answer.body.decode()


def test_other_methods_are_refused(door):
    for method in ("GET", "PUT", "DELETE", "OPTIONS", "TRACE"):
        answer = door.ask("/v1/verify", b"", method=method)
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")


def test_bad_bodies_are_refused_by_name(door):
    assert door.ask("/v1/verify", b" " * 70_000).status == 413
    assert door.ask("/v1/verify", b"{").json["code"] == "malformed_json"
    assert door.ask("/v1/verify", b"[" * 30_000).json["code"] == "malformed_json"
    assert door.ask("/v1/verify", {"key": "a", "keys": 1}).json["errors"] == [
        {"field": "keys", "code": "unknown_field"}
    ]
    assert door.ask("/v1/verify", {"key": "a"}, CONTENT_TYPE="text/plain").status == 415
    assert door.ask("/v1/verify", {"key": "a"}, HTTP_CONTENT_ENCODING="gzip").status == 415


def test_a_batch_answers_in_order_and_is_refused_whole(door, key):
    text = key[2].reveal()
    said = door.ask("/v1/verify:batch", {"keys": [{"key": "x"}, {"key": text, "scopes": ["orders:read"]}]}).json
    assert [each["valid"] for each in said["results"]] == [False, True]
    for odd in ({}, {"keys": []}, {"keys": [{"key": text}] * 101}, {"keys": [1]}, {"keys": [{"key": text, "a": 1}]}):
        assert door.ask("/v1/verify:batch", odd).status == 422
    odd = door.ask("/v1/verify:batch", {"keys": [{"key": text}, {}]}).json
    assert odd["errors"] == [{"field": "keys.1.key", "code": "required"}]


def test_introspection_tells_what_a_token_means(door, key, credential):
    said = door.introspect(key[2].reveal())
    meaning = said.json
    assert meaning.pop("exp") == int(key[1].expires_at.timestamp())
    assert meaning == {
        "active": True,
        "scope": "orders:read",
        "client_id": str(key[0]),
        "sub": str(key[0]),
        "username": "Nightly report",
        "token_type": "Bearer",
        "aud": "orders",
        "iss": meaning["iss"],
        "jti": key[1].kid,
    }
    basic = base64.b64encode(f"orders:{credential}".encode()).decode()
    assert door.introspect(key[2].reveal(), HTTP_AUTHORIZATION=f"Basic {basic}").json["active"] is True
    assert door.introspect("x").body == b'{"active":false}'


class Unsent:
    """A body that never comes: whoever reads it hangs."""

    def read(self, size=-1):
        raise AssertionError("a stranger's body was waited for")


@pytest.mark.parametrize("path", ["/v1/verify", "/v1/verify:batch", "/v1/verify-signature", "/oauth2/introspect"])
def test_nobody_waits_for_the_body_of_a_stranger(door, path):
    for shown in (None, "", "Basic YTpi", "Bearer x", f"Bearer {mint('prod').secret.reveal()}"):
        sent = {"HTTP_AUTHORIZATION": shown, "wsgi.input": Unsent(), "CONTENT_LENGTH": "100"}
        assert door.ask(path, b"", **sent).status == 401
    assert door.forward("x", **{"wsgi.input": Unsent(), "CONTENT_LENGTH": "100"}).status == 401
    assert door.ask("/v1/other", b"", **{"wsgi.input": Unsent(), "CONTENT_LENGTH": "100"}).status == 404


@pytest.mark.parametrize("path", ["/v1/verify", "/oauth2/introspect"])
def test_a_caller_whose_credential_ended_by_the_clock_is_waited_for_once_at_most(door, key, path):
    kind = {"CONTENT_TYPE": "application/x-www-form-urlencoded"} if path == "/oauth2/introspect" else {}
    assert (
        door.ask(path, f"token={key[2].reveal()}".encode() if kind else {"key": key[2].reveal()}, **kind).status == 200
    )
    door.feed.snapshot.entries[name_of(door.credential)].until = time.time()
    assert door.ask(path, b"token=x" if kind else {"key": "x"}, **kind).status == 401
    unsent = {"wsgi.input": Unsent(), "CONTENT_LENGTH": "100"}
    assert door.ask(path, b"", **kind, **unsent).status == 401


def test_a_body_that_takes_long_is_counted_in_the_file_of_then(door, key, tmp_path):
    raw = json.dumps({"key": key[2].reveal()}).encode()

    class Slow:
        def read(self, size=-1):
            before, door.tallies.file = door.tallies.file, TallyFile(tmp_path)
            before.close()
            return raw

    answer = door.ask("/v1/verify", raw, **{"wsgi.input": Slow()})
    assert (answer.status, answer.json["valid"]) == (200, True)
    assert not door.tallies.file.is_empty


@pytest.mark.parametrize("whose", ["of the question", "of the caller"])
def test_either_lease_that_ends_while_the_body_comes_is_over(door, key, whose):
    """The caller's credential is of Keystead's own service, whose place has a lease like every other."""
    raw = json.dumps({"key": key[2].reveal()}).encode()

    class Slow:
        def read(self, size=-1):
            for place in door.feed.catalogue.places.values():
                if (place.service == OWN_SERVICE) == (whose == "of the caller"):
                    place.fresh_until = NEVER
            return raw

    answer = door.ask("/v1/verify", raw, **{"wsgi.input": Slow()})
    assert (answer.status, answer.json["code"]) == (503, "verifier_stale")


def test_a_credential_that_ends_while_the_body_comes_is_over(door, key, credential):
    raw = json.dumps({"key": key[2].reveal()}).encode()

    class Slow:
        def read(self, size=-1):
            door.feed.snapshot.entries[name_of(credential)].until = NEVER
            return raw

    assert door.ask("/v1/verify", raw, **{"wsgi.input": Slow()}).status == 401


@pytest.mark.parametrize("path", ["/v1/verify", "/v1/verify:batch", "/oauth2/introspect"])
def test_a_credential_that_is_stopped_while_the_body_comes_is_over(door, world, key, path):
    """The stop is applied, so whoever made it has a receipt: a body that pauses must not outlive it."""
    question = {"key": key[2].reveal()}
    raw = json.dumps({"keys": [question]} if "batch" in path else question).encode()
    kind = {}
    if "oauth2" in path:
        raw, kind = f"token={key[2].reveal()}".encode(), {"CONTENT_TYPE": "application/x-www-form-urlencoded"}
    caller = ManagedKey.objects.get(service__slug=OWN_SERVICE)

    class Slow:
        def read(self, size=-1):
            revoke(world, caller)
            door.feed._look()
            return raw

    assert door.ask(path, raw, **{"wsgi.input": Slow()}, **kind).status == 401


def test_a_credential_that_changes_while_the_body_comes_goes_by_what_it_is_now(door, key, credential):
    raw = json.dumps({"keys": [{"key": key[2].reveal()}]}).encode()
    entries, name = door.feed.snapshot.entries, name_of(credential)

    def asked(**changes):
        before = entries[name]

        class Slow:
            def read(self, size=-1):
                entries[name] = replace(before, **changes)
                return raw

        answer = door.ask("/v1/verify:batch", raw, **{"wsgi.input": Slow()})
        entries[name] = before
        return answer

    assert asked().json["results"][0]["valid"] is True
    assert asked(grant=replace(entries[name].grant, asks=None)).status == 403
    assert asked(is_forged=True).status == 401
    assert asked(until=NEVER, ends=NEVER).status == 401


@pytest.mark.parametrize("path", ["/v1/verify", "/v1/verify:batch", "/oauth2/introspect"])
def test_a_lease_that_ends_while_the_body_comes_is_over(door, key, path):
    question = {"key": key[2].reveal()}
    raw = json.dumps({"keys": [question]} if "batch" in path else question).encode()
    kind = {}
    if "oauth2" in path:
        raw, kind = f"token={key[2].reveal()}".encode(), {"CONTENT_TYPE": "application/x-www-form-urlencoded"}
    assert door.ask(path, raw, **kind).status == 200

    class Slow:
        def read(self, size=-1):
            door.feed.forget_freshness()
            return raw

    answer = door.ask(path, raw, **{"wsgi.input": Slow()}, **kind)
    assert (answer.status, answer.json["code"]) == (503, "verifier_stale")


def test_a_basic_credential_that_is_no_ascii_is_refused_like_every_other(door):
    assert door.ask("/oauth2/introspect", b"token=x", HTTP_AUTHORIZATION="Basic \xe9\xff").status == 401


@pytest.mark.parametrize(
    ("rules", "status"), [({"signature_required": True}, 401), ({"signed_scopes": ("keys:verify",)}, 403)]
)
def test_a_credential_that_has_to_sign_is_not_let_in_by_its_secret(tmp_path, world, credential, key, rules, status):
    allow_signing(world, service="keystead", **rules)
    headers = {"HTTP_AUTHORIZATION": f"Bearer {credential}", "HTTP_HOST": "localhost"}
    body = json.dumps({"key": key[2].reveal()})
    assert Client().post("/v1/verify", body, content_type="application/json", **headers).status_code == status
    door = Door(tmp_path, credential)
    for path in ("/v1/verify", "/v1/verify:batch", "/v1/verify-signature"):
        assert door.ask(path, body.encode()).status == status
    assert door.introspect(key[2].reveal()).status == status


def test_an_odd_form_is_refused(door):
    for form in (b"", b"token=", b"token=a&token=b", b"token=a&scope=b", b"a", b"token=\xff"):
        answer = door.ask("/oauth2/introspect", form, CONTENT_TYPE="application/x-www-form-urlencoded")
        assert (answer.status, answer.json["code"]) == (400, "invalid_input")


def test_a_gateway_gets_a_status_and_an_identity(door, world, key):
    passed = door.forward(key[2].reveal(), HTTP_KEYSTEAD_SCOPES="orders:read", HTTP_X_FORWARDED_FOR="6.6.6.6")
    assert passed.status == 200
    assert passed.body == b""
    assert passed.headers["Keystead-Key"] == str(key[0])
    assert passed.headers["Keystead-Granted-Scopes"] == "orders:read"
    assert passed.headers["Keystead-Name"] == "Nightly report"
    assert door.forward(None, HTTP_X_API_KEY=key[2].reveal()).status == 200
    # So the server shows a header that it could not read, and nobody knows what it asked for.
    for odd in ("", " ", ","):
        assert door.forward(key[2].reveal(), HTTP_KEYSTEAD_SCOPES=odd).status == 400
    denied = door.forward(key[2].reveal(), HTTP_KEYSTEAD_SCOPES="orders:write")
    assert (denied.status, denied.headers["Keystead-Reason"]) == (403, "scope")
    nobody = door.forward(None)
    assert (nobody.status, nobody.headers["Keystead-Reason"]) == (401, "missing")
    assert door.forward("x").headers["WWW-Authenticate"] == 'Bearer realm="api", error="invalid_token"'


def test_a_gateway_without_a_credential_of_its_own_lets_nobody_pass(door, key):
    for shown in ("", "x", key[2].reveal()):
        answer = door.forward(key[2].reveal(), HTTP_KEYSTEAD_CREDENTIAL=shown)
        assert (answer.status, answer.json["code"]) == (503, "invalid_caller")


def test_networks_are_those_of_the_client_that_the_gateway_names(world, tmp_path, credential):
    text = issued(world, networks=("10.1.0.0/16",))[2].reveal()
    door = Door(tmp_path, credential)
    assert door.verify(text)["reason"] == "network"
    assert door.verify(text, client={"address": "10.1.2.3"})["valid"] is True
    assert door.forward(text).headers["Keystead-Reason"] == "network"
    assert door.forward(text, HTTP_KEYSTEAD_CLIENT_ADDRESS="10.1.2.3").status == 200
    assert door.forward(text, HTTP_KEYSTEAD_CLIENT_ADDRESS="10.1.2.3, 1.1.1.1").status == 400
    assert door.introspect(text).json == {"active": False}


def test_without_a_lease_nothing_is_said(door, key):
    for place in door.feed.catalogue.places.values():
        place.fresh_until = NEVER
    for answer in (
        door.ask("/v1/verify", {"key": key[2].reveal()}),
        door.ask("/v1/verify", {"key": "x"}, HTTP_AUTHORIZATION=f"Bearer {mint('prod').secret.reveal()}"),
        door.introspect(key[2].reveal()),
        door.forward(key[2].reveal()),
    ):
        assert (answer.status, answer.json["code"]) == (503, "verifier_stale")
        assert answer.headers["Retry-After"] == "1"
    assert door.ask("/readyz", method="GET").status == 503


def test_nothing_verifies_while_a_restored_database_is_behind(door, key, superuser):
    superuser.execute("INSERT INTO audit_interruption (cause, from_leaf, upto_leaf) VALUES ('restored', 1, 2)")
    door.feed.tick()
    answer = door.ask("/v1/verify", {"key": key[2].reveal()})
    assert (answer.status, answer.json["code"]) == (503, "log_interrupted")


def test_an_environment_without_memory_asks_the_database_each_time(door, world, key, superuser):
    behind_the_back(superuser, "UPDATE keys_environment SET max_staleness_ms = 0 WHERE tag = 'prod'")
    door.feed.tick()
    text = key[2].reveal()
    assert door.verify(text)["valid"] is True
    revoke(world, key[0])
    assert door.verify(text) == {"valid": False, "reason": "compromised"}, "without any look in between"
    assert door.introspect(text).json == {"active": False}


@pytest.mark.usefixtures("one_day")
def test_without_memory_a_key_is_held_to_its_limits_and_all_ways_count_together(world, tmp_path, credential, superuser):
    text = issued(world, limits={"requests_per_day": 3})[2].reveal()
    door = Door(tmp_path, credential)
    assert door.verify(text)["valid"] is True
    behind_the_back(superuser, "UPDATE keys_environment SET max_staleness_ms = 0 WHERE tag = 'prod'")
    door.feed.tick()
    assert [door.verify(text).get("reason") for _ in range(3)] == [None, None, "quota"]
    assert door.introspect(text).json == {"active": False}


def test_every_metric_is_on_the_page_of_operators(door, client):
    told = door.ask("/metrics", method="GET").body + client.get("/metrics").content
    told_of = re.findall(r"^# TYPE (keystead_\w+) ", told.decode(), re.MULTILINE)
    names = {name for name in told_of if not name.endswith("_created")}  # when counting began
    page = (ROOT / "docs" / "operations.md").read_text()
    assert len(names) > 10
    assert not {name for name in names if f"`{name}`" not in page}


def test_metrics_are_for_programs_that_may(door, key, settings):
    door.verify(key[2].reveal())
    assert b'endpoint="/v1/verify",status="200 quick"' in door.ask("/metrics", method="GET").body
    settings.PRODUCTION = True
    assert door.ask("/metrics", method="GET").status == 404
    assert door.ask("/api/v1/keys", method="GET").status == 404
    assert door.ask("/healthz", method="GET").body == b"alive\n"


@pytest.mark.usefixtures("one_day")
def test_a_key_is_held_to_its_limits(world, tmp_path, credential):
    text = issued(world, limits={"requests_per_day": 3})[2].reveal()
    door = Door(tmp_path, credential)
    assert [door.verify(text).get("reason") for _ in range(4)] == [None, None, None, "quota"]
    assert door.forward(text).status == 403
    assert door.introspect(text).json == {"active": False}


def test_what_is_presented_is_counted_with_who_presented_it(door, world, key, tmp_path):
    text, client = key[2].reveal(), {"address": "192.0.2.7", "user_agent": "curl/8", "instance": "pod-1"}
    for _ in range(3):
        door.verify(text, client=client)
    door.verify(text, scopes=["orders:write"])
    door.verify(mint("prod", kid=key[1].kid).secret.reveal())
    assert add_files(tmp_path) == 0, "the file is still being written"
    door.tallies.close()
    assert add_files(tmp_path) == 4 + 5, "and each time the caller"
    assert add_files(tmp_path) == 0
    assert uses_of(key[1]) == {"valid": 3, "scope": 1}
    seen = Sighting.objects.get(version=key[1], address="192.0.2.7")
    assert (seen.user_agent, seen.instance, seen.count) == ("curl/8", "pod-1", 3)
    assert Sighting.objects.exclude(version__managed_key=key[0]).get().address == "127.0.0.1"


def test_the_site_reads_a_body_that_comes_in_chunks(credential, key):
    body = json.dumps({"key": key[2].reveal()})
    headers = {"HTTP_AUTHORIZATION": f"Bearer {credential}", "HTTP_HOST": "localhost", "CONTENT_LENGTH": ""}
    headers["wsgi.input"] = io.BytesIO(body.encode())
    site = Client().post(
        "/v1/verify", body, content_type="application/json", HTTP_TRANSFER_ENCODING="chunked", **headers
    )
    assert site.json()["valid"] is True


@pytest.mark.parametrize("wrong", [InvalidChunkSize(b"-1"), ChunkMissingTerminator(b""), ConnectionResetError()])
def test_a_body_that_breaks_off_is_no_mistake_of_the_site(credential, wrong):
    """gunicorn reads chunks when somebody asks for them, and says then that they are none."""

    class Broken(io.BytesIO):
        def read(self, size=-1):
            raise wrong

    headers = {"HTTP_HOST": "localhost", "CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}
    for shown in ({}, {"HTTP_AUTHORIZATION": f"Bearer {credential}"}):
        sent = headers | shown | {"wsgi.input": Broken()}
        site = Client().post("/v1/verify", "x", content_type="application/json", **sent)
        assert (site.status_code, site.json()["code"]) == (400, "malformed_json")


def test_a_scope_that_nobody_could_have_is_said_of_every_key(door, key):
    for text in (key[2].reveal(), mint("prod").secret.reveal()):
        assert door.ask("/v1/verify", {"key": text, "scopes": ["not a scope"]}).status == 422
