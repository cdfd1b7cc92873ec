"""Requests that the clients sign, through the middlewares, to Keystead and back: accepted once, and changed never."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx2
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from keystead_client import AsyncVerifier, LocalVerifier, MemoryNonces, Signer, Verifier
from keystead_client.httpx_auth import SignatureAuth as HttpxSignatureAuth
from keystead_client.integrations.asgi import KeysteadMiddleware as AsgiMiddleware
from keystead_client.integrations.wsgi import KeysteadMiddleware
from keystead_client.requests_auth import SignatureAuth

from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.revocation import revoke_key
from keys.models import ManagedKey
from keys.states import RevocationReason
from tests.keys.verification.following import behind_the_back
from tests.people import acting, approved, verifying_credential
from tests.sdk.cookbook import until
from tests.sdk.node import CLIENT, need_node
from tests.signing import pem_of
from tests.signing_keys import allow_signing, program_signer, settle_nonces, signer_of

BODY = b'{"amount":"12.50"}'


@pytest.fixture
def credential(world, valkey) -> str:
    allow_signing(world)
    settle_nonces(valkey)
    return verifying_credential(world).reveal()


def pair_signer(world) -> Signer:
    """The client makes the pair; Keystead learns its public half at the claim."""
    pair = Ed25519PrivateKey.generate()
    key = approved(world, kind="ed25519", name="Pair")
    version = claim_secret(key.versions.get(), public_key=pem_of(pair), actor=acting(world.alice, "claim")).version
    pem = pair.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Signer.ed25519(pem, keyid=version.kid)


def echo(environ, start_response):
    """Answer with the body, to show that the application can still read it, and who asked."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", [("X-Kid", environ["keystead.verdict"].kid)])
    return [body]


@contextmanager
def serving(application) -> Iterator[str]:
    class Quiet(WSGIRequestHandler):
        def log_message(self, *args):
            pass

    with make_server("127.0.0.1", 0, application, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_signed_requests_pass_once_and_unchanged(portal_server, world, credential, verify_door):
    shared = signer_of(world, "hmac-sha256", name="Shared")
    signers = [Signer.hmac(shared.secret), pair_signer(world)]
    with (
        Verifier(verify_door, credential=credential, timeout=20) as verifier,
        serving(KeysteadMiddleware(echo, verifier, scopes=("orders:read",))) as url,
    ):
        for signer in signers:
            for method, body in (("GET", b""), ("POST", BODY)):
                address = f"{url}/orders?b=2&a=1"
                session = requests.Session()
                sent = session.prepare_request(
                    requests.Request(method, address, data=body or None, auth=SignatureAuth(signer))
                )
                answer = session.send(sent, timeout=20)
                assert (answer.status_code, answer.content) == (200, body), answer.text
                again = requests.request(method, address, data=body or None, headers=dict(sent.headers), timeout=20)
                assert (again.status_code, again.json()["code"]) == (401, "replay")
            signed = signer.sign("POST", f"{url}/orders", body=BODY, content_type="application/json")
            for changed in (
                {"url": f"{url}/other"}, {"url": f"{url}/orders?x"}, {"data": BODY + b" "}, {"method": "PUT"},
                {"headers": signed | {"Content-Type": "text/plain"}}, {"headers": signed | {"Content-Digest": "sha-256=:x:"}},
                {"headers": signed | {"Authorization": "Bearer x"}},
            ):  # fmt: skip
                wanted = {
                    "method": "POST",
                    "url": f"{url}/orders",
                    "data": BODY,
                    "headers": signed,
                    "timeout": 20,
                    **changed,
                }
                assert requests.request(**wanted).status_code in (400, 401), changed
        # The secret of a key that signs is no bearer key.
        bearer = requests.get(f"{url}/orders", headers={"Authorization": f"Bearer {shared.secret}"}, timeout=20)
        assert (bearer.status_code, bearer.json()["code"]) == (401, "signature_required")
    with ThreadPoolExecutor(1) as thread:  # the browser of other modules keeps a loop of its own running in this one
        thread.submit(lambda: asyncio.run(through_asgi(verify_door, credential, signers[1]))).result()


async def through_asgi(door: str, credential: str, signer: Signer) -> None:
    async def application(scope, receive, send):
        message = await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": message["body"]})

    async with AsyncVerifier(door, credential=credential, timeout=20) as verifier:
        transport = httpx2.ASGITransport(app=AsgiMiddleware(application, verifier, scopes=("orders:read",)))
        async with httpx2.AsyncClient(transport=transport, base_url="https://orders.test") as client:
            answer = await client.post("/orders?a=%20b", content=BODY, auth=HttpxSignatureAuth(signer))
            assert (answer.status_code, answer.content) == (200, BODY), answer.text
            refused = await client.post("/orders", content=BODY)
            assert refused.status_code == 401


@contextmanager
def service_in_python(portal: str, credential: str, _folder: Path) -> Iterator[str]:
    nonces = MemoryNonces()
    nonces._made_at -= 60  # as in a program that has been there for a while
    with (
        LocalVerifier(portal, credential=credential, nonces=nonces) as verifier,
        serving(KeysteadMiddleware(echo, verifier, scopes=("orders:read",))) as url,
    ):
        yield url


SERVICE = """
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { LocalVerifier, MemoryNonces, protect, verdictOf } from %s;
const nonces = new MemoryNonces();
try {
  nonces.spend("k", "first", { created: 0, now: Date.now() / 1000 - 60 }); // as in a program that has been there for a while
} catch {}
const [url, credential] = process.argv.slice(2);
const verifier = await new LocalVerifier({ url, credential, nonces }).start();
const guard = protect(verifier).require("orders:read");
const server = createServer((request, response) => {
  const answer = async () => response.setHeader("X-Kid", verdictOf(request).kid).end(await text(request));
  guard(request, response, answer);
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
"""


@contextmanager
def service_in_node(portal: str, credential: str, folder: Path) -> Iterator[str]:
    need_node()
    script = folder / "service.mjs"
    script.write_text(SERVICE % json.dumps((CLIENT / "dist/src/index.js").as_uri()))
    with subprocess.Popen(["node", script, portal, credential], stdout=subprocess.PIPE, text=True) as service:
        try:
            assert service.stdout is not None
            yield f"http://127.0.0.1:{int(service.stdout.readline())}"
        finally:
            service.terminate()


@pytest.mark.parametrize("service", [service_in_python, service_in_node])
def test_in_process_a_pair_is_accepted_once_until_it_is_revoked(
    portal_server, world, superuser, credential, tmp_path, service
):
    behind_the_back(superuser, "UPDATE keys_environment SET max_staleness_ms = 6000 WHERE tag = 'prod'")
    signer = pair_signer(world)
    shared = Signer.hmac(signer_of(world, "hmac-sha256", name="Shared").secret)
    portal = portal_server.url.replace("localhost", "127.0.0.1")
    with service(portal, credential, tmp_path) as url, requests.Session() as session:

        def said(answer: requests.Response) -> tuple[int, str]:
            return answer.status_code, answer.text if answer.status_code == 200 else answer.json()["code"]

        sent = requests.Request("POST", f"{url}/orders?b=2&a=1", data=BODY, auth=SignatureAuth(signer)).prepare()
        assert said(session.send(sent, timeout=20)) == (200, BODY.decode())
        assert said(session.send(sent, timeout=20)) == (401, "replay")
        for changed, code in (
            ({"data": BODY + b" "}, "signature_malformed"),
            ({"method": "PUT"}, "signature_invalid"),
        ):
            wanted = {"method": "POST", "url": sent.url, "data": BODY, "headers": sent.headers, **changed}
            assert said(session.request(**wanted, timeout=20)) == (401, code)
        assert said(session.get(url, auth=SignatureAuth(shared), timeout=20)) == (401, "not_in_process")
        pair = ManagedKey.objects.get(name="Pair")
        revoke_key(pair, actor=acting(world.alice, "revoke"), reason=RevocationReason.KEY_COMPROMISE)
        asked = partial(session.get, f"{url}/orders", auth=SignatureAuth(signer), timeout=20)
        until(lambda: asked().status_code == 401)
        assert said(asked()) == (401, "signature_invalid")


def test_the_client_for_typescript_signs_what_the_one_for_python_lets_in(
    portal_server, world, credential, verify_door, tmp_path
):
    need_node()
    shared = signer_of(world, "hmac-sha256", name="Shared")
    with (
        Verifier(verify_door, credential=credential, timeout=20) as verifier,
        serving(KeysteadMiddleware(echo, verifier, scopes=("orders:read",))) as url,
    ):
        script = tmp_path / "sign.mjs"
        script.write_text(
            f"import {{ signedFetch, Signer }} from {json.dumps((CLIENT / 'dist/src/index.js').as_uri())};\n"
            "const send = signedFetch(Signer.hmac(process.env.KEY));\n"
            f"const answers = [await send({json.dumps(url + '/orders?a=%20b')}), "
            f"await send({json.dumps(url + '/orders')}, {{ method: 'POST', body: 'caf\\u00e9' }})];\n"
            "for (const each of answers) console.log(each.status, await each.text());\n"
        )
        done = subprocess.run(
            ["node", script], env={"KEY": shared.secret}, capture_output=True, text=True, timeout=60, check=False
        )
    assert done.stdout.splitlines() == ["200 ", "200 café"], done.stdout + done.stderr


def test_a_program_signs_what_it_asks_of_the_portal(portal_server, world, valkey):
    settle_nonces(valkey)
    signer = Signer.hmac(program_signer(world, "hmac-sha256").secret)
    for _ in range(2):
        answer = requests.get(f"{portal_server.url}/api/v1/me", auth=SignatureAuth(signer), timeout=20)
        assert (answer.status_code, answer.json().get("kind")) == (200, "program"), answer.text
