"""Bad input over a real connection: refused by name, answered at once, written down nowhere; and the next question is answered."""

from __future__ import annotations

import json
import socket
import zlib

import pytest

from tests.people import issued, verifying_credential
from tests.portal.verify.doors import DOORS, FORM, SIGNED, Caller, bearer, is_accepted, written
from tests.portal.verify.storms import VerifyServer, be_patient

pytestmark = pytest.mark.usefixtures("sealing")
READERS = ("/v1/verify", "/v1/verify:batch", SIGNED)
ENORMOUS = 10 * 1024 * 1024
# SECURITY.md's corpus: what other readers let pass, or read in two ways.
NOT_STRICT = [
    b"",
    b"{",
    b"null, 1",
    b'{"key": "a", "key": "b"}',
    b'{"key": "a\\u0000b"}',
    b'{"key": "a\x00b"}',
    b'{"key": "\\ud800"}',
    b'{"key": NaN}',
    b'{"key": 1e400}',
    b'{"key": 0.1}',
    b'{"key": ' + b"9" * 30_000 + b"}",
    b"\xff\xfe{\x00}\x00",
    b"\xef\xbb\xbf{}",
    '{"kéy": "a"}'.encode(),
    b"[" * 60_000,
    b'{"client":' * 5_000 + b"1" + b"}" * 5_000,
    b'{"client": ' + b'{"a":' * 12 + b"1" + b"}" * 13,
]
NO_FORMS = [b"", b"a", b"token=", b"token=a&token=b", b"token=a&scope=b", b"token=\xff", b"&" * 60_000, b"token=a;b&c"]
ODD_TEXTS = [
    "\u202eks_prod_x",
    "ks_prod_\u200b",
    "a\r\nb",
    "\uff11" * 20,
    "ks_prod_" + "\u0131" * 30,
    "x" * 60_000,
    " ",
]
ODD_ADDRESSES = ["\uff11\uff10.0.0.1", "10.0.0.1/8", "fe80::1%eth0", "127.1", "0x7f.1", "::ffff:1.2.3", "", " 10.0.0.1"]


@pytest.fixture
def story(world, superuser, tmp_path):
    """A server, a connection to it, a credential and a key that works; afterwards it still does, and its log is clean."""
    be_patient(superuser)
    credential = verifying_credential(world).reveal()
    key = issued(world)[2].reveal()
    with VerifyServer(tmp_path) as server, Caller(server.port) as caller:
        yield caller, credential, key
        caller.close()
        for name, door in DOORS.items():
            assert is_accepted(caller.ask(door(credential, key))), name
    logged = server.log_file.read_text(errors="replace")
    for secret in (credential, key):
        for part in secret.split("_")[2:]:
            assert part not in logged
    assert "Traceback" not in logged
    assert "verification failed" not in logged


def refused(answer):
    assert answer.status < 500, answer
    assert b"ks_prod" not in answer.told
    return answer.status, answer.json["code"]


def whoever_says_twice_who_asks(caller, credential, key):
    """By two lines, or by one that somebody joined."""
    own, body = bearer(credential), json.dumps({"key": key}).encode()
    for path in READERS:
        for twice in ([own, own], [own, bearer(key)], [("Authorization", f"{own[1]}, {own[1]}")]):
            assert refused(caller.ask(written(path, body, *twice))) == (400, "header_repeated")
    for twice in ([own, own], [("Authorization", f"{own[1]},{own[1]}")]):
        answer = caller.ask(written("/oauth2/introspect", b"token=x", *twice, kind=FORM))
        assert refused(answer) == (400, "header_repeated")
    gateway, plain = ("Keystead-Credential", credential), ("X-API-Key", key)
    joined = ("Authorization", f"Bearer {key}, Bearer {key}")
    for twice in ([bearer(key), bearer(key)], [bearer(key), plain], [plain, plain], [joined]):
        answer = caller.ask(written("/v1/forward-auth", b"", gateway, *twice, method="GET"))
        assert refused(answer) == (400, "header_repeated")
    answer = caller.ask(written("/v1/forward-auth", b"", gateway, gateway, bearer(key), method="GET"))
    assert (answer.status, answer.json["code"]) == (503, "invalid_caller"), "a gateway's own mistake lets nobody in"


def keys_in_addresses(caller, credential, key):
    """Refused unread."""
    own, body = bearer(credential), json.dumps({"key": key}).encode()
    for path in (*READERS, "/oauth2/introspect", "/v1/forward-auth"):
        method = "GET" if path == "/v1/forward-auth" else "POST"
        for query in (f"token={key}", key, f"access_token={credential}"):
            asked = written(f"{path}?{query}", body, own, ("Keystead-Credential", credential), method=method)
            assert refused(caller.ask(asked)) == (400, "address_not_allowed_here")
    for path in (f"/v1/verify/{key}", f"/v1/verify%3Ftoken={key}", "//v1/verify", "/v1/verify/", f"/{key}"):
        assert refused(caller.ask(written(path, body, own))) == (404, "not_found")


def bodies_without_end(caller, credential, _key):
    """By their length, or in chunks of which nobody said how many come."""
    own = bearer(credential)
    for path in (*READERS, "/oauth2/introspect"):
        kind = FORM if path == "/oauth2/introspect" else "application/json"
        chunked = written(path, b"", own, ("Transfer-Encoding", "chunked"), kind=kind)
        chunked = chunked.replace(b"Content-Length: 0\r\n", b"") + b"%x\r\n" % ENORMOUS + b"a" * ENORMOUS
        for asked in (written(path, b" " * ENORMOUS, own, kind=kind), chunked):
            answer = caller.ask(asked)
            assert refused(answer) == (413, "body_too_large")
            assert answer.seconds < 2


def bodies_of_another_kind(caller, credential, key):
    """Or squeezed."""
    own, body = bearer(credential), json.dumps({"key": key}).encode()
    others = (
        "text/plain",
        "",
        "application/json; charset=utf-16",
        "multipart/form-data; boundary=a",
        "application/xml",
    )
    for path in (*READERS, "/oauth2/introspect"):
        for kind in (*others, "application/json" if path == "/oauth2/introspect" else FORM):
            assert refused(caller.ask(written(path, body, own, kind=kind))) == (415, "unsupported_media_type")
        answer = caller.ask(written(path, zlib.compress(body), own, ("Content-Encoding", "deflate")))
        assert refused(answer) == (415, "unsupported_media_type")


def bodies_that_two_would_read_in_two_ways(caller, credential, key):
    """Strict JSON, strict forms, and the members that are known."""
    own = bearer(credential)
    for path in READERS:
        for body in NOT_STRICT:
            assert refused(caller.ask(written(path, body, own))) == (400, "malformed_json"), body[:40]
        for body in (b"[]", b"1", b'"key"', b"null", b"{}", b'{"odd": 1}'):
            assert refused(caller.ask(written(path, body, own))) == (422, "invalid_input"), body
    for body in NO_FORMS:
        answer = caller.ask(written("/oauth2/introspect", body, own, kind=FORM))
        assert refused(answer) == (400, "invalid_input"), body[:40]
    for text in ODD_TEXTS:
        answer = caller.ask(written("/v1/verify", json.dumps({"key": text}).encode(), own))
        assert (answer.status, answer.json) == (200, {"valid": False, "reason": "malformed"})
    for address in ODD_ADDRESSES:
        body = json.dumps({"key": key, "client": {"address": address}}).encode()
        assert refused(caller.ask(written("/v1/verify", body, own))) == (422, "invalid_input"), address


def credentials_that_are_none(caller, credential, key):
    """In every spelling, and by every method: always the same."""
    body = json.dumps({"key": key}).encode()
    for odd in (
        "",
        "Bearer",
        "Bearer ",
        "bearer x",
        "Basic YTpi",
        "Basic YR==",
        "Bearer \xff",
        "Digest a=b",
        f"Bearer {key}",
    ):
        for path in READERS:
            assert refused(caller.ask(written(path, body, ("Authorization", odd)))) == (401, "invalid_token"), odd
    for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"):
        answer = caller.ask(written("/v1/verify", body, bearer(credential), method=method))
        assert refused(answer) == (405, "method_not_allowed")


def half_a_question(caller, credential, key):
    """Whoever pauses in the middle of one holds others up for a moment, and not for as long as it likes."""
    asked = DOORS["verify"](credential, key)
    with Caller(caller.port) as idle, socket.create_connection(("127.0.0.1", caller.port), timeout=20) as half:
        assert is_accepted(idle.ask(asked))
        half.sendall(asked[:-1])
        answer = caller.ask(asked)
        assert is_accepted(answer)
        assert answer.seconds < 10, "two, on a machine that has them"
        assert half.recv(1) == b""
        assert is_accepted(idle.ask(asked)), "somebody else was hung up on"


def test_bad_input_is_refused_and_harms_nobody(story):
    half_a_question(*story)
    whoever_says_twice_who_asks(*story)
    keys_in_addresses(*story)
    bodies_without_end(*story)
    bodies_of_another_kind(*story)
    bodies_that_two_would_read_in_two_ways(*story)
    credentials_that_are_none(*story)
