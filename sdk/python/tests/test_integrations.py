"""What stands before an application: it lets in who may, says why to who may not, and is not fooled by spellings."""

import asyncio
import io
import json

import pytest
from fake_keystead import problem, vectors
from fastapi import FastAPI, Security
from flask import Flask, request
from keystead_client import Client, Reason, Refused, Verdict, Verifier
from keystead_client.integrations import asgi, fastapi, flask, wsgi
from keystead_client.integrations.protection import Answer, Arrived, decide, decide_async, refused
from keystead_client.verdicts import refusal
from starlette.requests import Request

KEY = vectors("key_text")["valid"][8]["text"]
YES = Verdict(valid=True, kid="k", scopes=frozenset({"orders:read"}))


class Says:
    """A verifier that says what it is told, and remembers what it was asked."""

    blocking = False

    def __init__(self, verdict):
        self.verdict, self.asked = verdict, []

    def verify(self, text, /, *, scopes, method, client):
        self.asked.append((text, scopes, method, client))
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict


def arrived(query="", address="192.0.2.1", **headers):
    given = {name.replace("_", "-"): value if isinstance(value, tuple) else (value,) for name, value in headers.items()}
    return Arrived(method="GET", scheme="https", authority="h", path="/", query=query, headers=given, address=address)


BEARER = {"authorization": f"Bearer {KEY}", "user_agent": "curl"}


def test_who_may_is_let_in_and_the_verifier_hears_all_that_is_known():
    says = Says(YES)
    assert decide(says, arrived(**BEARER), ("orders:read",)) is YES
    assert asyncio.run(decide_async(says, arrived(**BEARER), ("orders:read",))) is YES
    assert says.asked[0] == (KEY, ("orders:read",), "GET", Client(address="192.0.2.1", user_agent="curl"))


@pytest.mark.parametrize(
    ("request_", "verdict", "status", "code"),
    [
        (arrived(), YES, 401, "key_missing"),
        (arrived(**BEARER), refusal("expired"), 401, "expired"),
        (arrived(**BEARER), refusal("scope"), 403, "scope"),
        (arrived(**BEARER), refusal("quota"), 429, "quota"),
        (arrived(**BEARER), refusal("stale"), 503, "stale"),
        (arrived(**BEARER), Refused("no", code="insufficient_scope", status=403), 503, "verifier_misconfigured"),
        (arrived(authorization=(f"Bearer {KEY}", f"Bearer {KEY}")), YES, 400, "header_repeated"),
        (arrived(authorization=f"Bearer {KEY}", signature_input="x"), YES, 400, "header_repeated"),
        (arrived(f"key={KEY}", **BEARER), YES, 400, "key_in_address"),
        (arrived(f"key={KEY.replace('_', '%5F')}"), YES, 400, "key_in_address"),
        (arrived(signature_input="x", signature="y"), YES, 401, "signature_invalid"),
    ],
)
def test_whoever_may_not_gets_the_status_and_the_reason(request_, verdict, status, code):
    for answer in (
        decide(Says(verdict), request_, ("orders:read",)),
        asyncio.run(decide_async(Says(verdict), request_, ("orders:read",))),
    ):
        assert isinstance(answer, Answer)
        said, headers = json.loads(answer.body), dict(answer.headers)
        assert (answer.status, said["status"], said["code"]) == (status, status, code)
        assert ("WWW-Authenticate" in headers) == ((status == 401 and code != "never") or code == "scope")
        assert ("Retry-After" in headers) == (status in (429, 503))
        assert KEY not in answer.body.decode() + str(headers)


@pytest.mark.parametrize(
    ("request_", "words"), [(arrived(), "Authorization: Bearer"), (arrived(f"key={KEY}"), "in the address")]
)
def test_who_shows_a_key_in_the_wrong_place_is_told_the_right_one(request_, words):
    answer = decide(Says(YES), request_, ())
    assert isinstance(answer, Answer)
    assert words in json.loads(answer.body)["title"]


def test_a_credential_that_may_not_ask_is_told_of_in_the_log(caplog):
    error = Refused("A credential of the service keystead is needed", code="invalid_token", status=401)
    decide(Says(error), arrived(**BEARER), ())
    assert caplog.messages == [
        "keystead refused this service: A credential of the service keystead is needed (invalid_token)"
    ]


@pytest.mark.parametrize(
    "authorization", ["Basic YTpi", "Bearer", "Bearer ", f"Bearer {KEY}, Bearer {KEY}", f"Token {KEY}"]
)
def test_only_one_bearer_is_a_key(keystead, authorization):
    with Verifier(keystead.url, credential=KEY) as verifier:
        answer = decide(verifier, arrived(authorization=authorization), ())
    assert isinstance(answer, Answer)
    assert answer.status == 401
    assert not keystead.asked


def test_a_clock_that_is_wrong_is_told_the_time():
    verdict = Verdict(valid=False, reason=Reason.SIGNATURE_EXPIRED, server_time=17)
    assert json.loads(refused(verdict).body)["server_time"] == 17


def test_who_signs_in_another_form_is_told_what_is_wrong_with_it():
    verdict = Verdict(valid=False, reason=Reason.SIGNATURE_MALFORMED, fault="digest_mismatch", server_time=17)
    assert json.loads(refused(verdict).body)["fault"] == "digest_mismatch"
    away = Verdict(valid=False, reason=Reason.UNAVAILABLE, fault="nonce_store_full")
    assert "fault" not in json.loads(refused(away).body), "that is the service's own"


def environ(**more):
    return {
        "REQUEST_METHOD": "GET", "wsgi.url_scheme": "https", "HTTP_HOST": "h", "PATH_INFO": "/x", "QUERY_STRING": "",
        "REMOTE_ADDR": "192.0.2.1", "wsgi.input": io.BytesIO(), "HTTP_AUTHORIZATION": f"Bearer {KEY}", **more,
    }  # fmt: skip


def call(application, environment):
    said = []
    body = b"".join(application(environment, lambda status, headers: said.append(status)))
    return int(said[0][:3]), body


def test_wsgi_lets_through_what_needs_no_key_and_forgets_forged_verdicts():
    def application(environment, start_response):
        start_response("200 OK", [])
        return [str(environment.get("keystead.verdict")).encode()]

    def wanted(environment):
        return None if environment["PATH_INFO"] == "/healthz" else ("orders:read",)

    protected = wsgi.KeysteadMiddleware(application, Says(refusal("expired")), scopes=wanted)
    assert call(protected, environ())[0] == 401
    assert call(protected, environ(PATH_INFO="/healthz", **{"keystead.verdict": YES})) == (200, b"None")
    assert call(wsgi.KeysteadMiddleware(application, Says(YES)), environ())[0] == 200


def test_asgi_refuses_websockets_and_passes_lifespan():
    heard = []

    async def application(scope, receive, send):
        heard.append(scope["type"])

    async def send(message):
        heard.append(message)

    async def run():
        protected = asgi.KeysteadMiddleware(application, Says(refusal("expired")))
        await protected({"type": "lifespan"}, None, send)
        scope = {
            "type": "websocket",
            "scheme": "wss",
            "path": "/",
            "headers": [(b"authorization", b"Bearer " + KEY.encode())],
        }
        await protected(scope, None, send)

    asyncio.run(run())
    assert heard == ["lifespan", {"type": "websocket.close", "code": 1008}]


def test_an_asynchronous_verifier_is_not_mistaken_for_a_verdict():
    async def later():
        return YES

    coroutine = later()
    with pytest.raises(TypeError):
        decide(Says(coroutine), arrived(**BEARER), ())
    coroutine.close()


def test_a_keystead_that_is_away_lets_nobody_in(keystead):
    keystead.on("POST /v1/verify", problem("unavailable", 503))
    with Verifier(keystead.url, credential=KEY) as verifier:
        answer = asyncio.run(decide_async(verifier, arrived(**BEARER), ()))
    assert isinstance(answer, Answer)
    assert answer.status == 503


MIB = 1024 * 1024


class Bytes(io.RawIOBase):
    """A body of so many bytes, that says how many of them were read."""

    def __init__(self, size):
        self.left, self.read_so_far = size, 0

    def readable(self):
        return True

    def readinto(self, place):
        taken = min(len(place), self.left, MIB)
        place[:taken] = b"x" * taken
        self.left, self.read_so_far = self.left - taken, self.read_so_far + taken
        return taken


class SaysOfSigned(Says):
    def verify_signature(self, signed, *, scopes, client):
        self.asked.append(signed)
        return self.verdict


def through_fastapi(says, body):
    app, seen = FastAPI(), []

    @app.post("/x", dependencies=[Security(fastapi.Keystead(says))])
    async def read(arrived: Request):
        return len(await arrived.body())

    async def receive():
        return {"type": "http.request", "body": body.read(MIB), "more_body": body.left > 0}

    async def send(message):
        seen.append(message)

    headers = [(b"host", b"h"), (b"signature-input", b"x"), (b"signature", b"y")]
    scope = {"type": "http", "method": "POST", "path": "/x", "query_string": b"", "headers": headers, "scheme": "http"}
    asyncio.run(app(scope, receive, send))
    return seen[0]["status"], seen[1]["body"]


def through_flask(says, body, **more):
    app = Flask("app")

    @app.post("/x")
    @flask.Keystead(says).require()
    def read():
        return str(len(request.get_data()))

    environ = {"wsgi.input": io.BufferedReader(body), "HTTP_SIGNATURE_INPUT": "x", "HTTP_SIGNATURE": "y", **more}
    answer = app.test_client().open("/x", method="POST", environ_overrides=environ)
    return answer.status_code, answer.data


@pytest.mark.parametrize(
    "through",
    [
        through_fastapi,
        lambda says, body: through_flask(says, body, CONTENT_LENGTH=str(body.left)),
        lambda says, body: through_flask(
            says, body, **{"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
        ),
    ],
    ids=["fastapi", "flask", "flask-chunked"],
)
def test_a_signed_body_is_read_no_further_than_it_is_checked(through):
    says, endless = SaysOfSigned(YES), Bytes(64 * MIB)
    assert through(says, endless)[0] == 413
    assert (says.asked, endless.read_so_far <= 12 * MIB) == ([], True)
    assert through(says, Bytes(2 * MIB)) == (200, str(2 * MIB).encode())
    assert len(says.asked[0].body) == 2 * MIB
