"""The OpenAPI document of the data plane says what the door does: every endpoint, example, answer and refusal."""

from __future__ import annotations

import json
from typing import Any

import pytest
import schemathesis
from django.test import Client
from drf_spectacular.validation import validate_schema
from jsonschema import Draft202012Validator
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import from_schema
from schemathesis.transport.wsgi import WSGITransport

from keys.crypto.key_text import mint
from portal.verify.app import ENDPOINTS
from portal.verify.contract.openapi import DOCUMENT, PATH
from portal.verify.problems import TITLES
from tests.people import issued, verifying_credential
from tests.portal.test_schema_fuzz import told as failures_in
from tests.portal.verify.knocking import Answer, Door
from tests.portal.verify.signed_questions import received
from tests.signing_keys import allow_signing, signer_of

pytestmark = pytest.mark.usefixtures("sealing", "settled_nonces")


@pytest.fixture
def door(tmp_path, world):
    return Door(tmp_path, verifying_credential(world).reveal())


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
    ]


def fits(value: object, shape: dict[str, Any]) -> list[str]:
    """What does not fit."""
    whole = {**shape, "components": DOCUMENT["components"]}
    return [error.message for error in Draft202012Validator(whole).iter_errors(value)]


def answered(answer: Answer, path: str) -> list[str]:
    """Whether an answer is one of those that are described."""
    operation = DOCUMENT["paths"][path]["post"]
    content = operation["responses"][str(answer.status)]["content"][answer.headers["Content-Type"]]
    return fits(answer.json, content["schema"])


def test_everybody_may_read_it_at_the_door_and_at_the_site(door):
    ours = door.ask(PATH, method="GET", HTTP_AUTHORIZATION="")
    site = Client().get(PATH, headers={"host": "localhost"})
    assert (ours.status, site.status_code) == (200, 200)
    assert ours.json == site.json() == DOCUMENT
    validate_schema(DOCUMENT)


def test_every_endpoint_stands_in_it():
    assert set(DOCUMENT["paths"]) == set(ENDPOINTS)
    for path, (_, methods) in ENDPOINTS.items():
        assert {method.upper() for method in DOCUMENT["paths"][path]} == methods


def test_every_example_fits_and_every_problem_is_one_that_there_is():
    for path, _, operation in operations():
        contents = [operation.get("requestBody", {}).get("content", {})]
        contents += [each.get("content", {}) for each in operation["responses"].values()]
        for content in contents:
            for media in content.values():
                for name, example in media.get("examples", {}).items():
                    assert not fits(example["value"], media["schema"]), f"{path} {name}"
        named = {
            name
            for each in operation["responses"].values()
            for name in each.get("content", {}).get("application/problem+json", {}).get("examples", {})
        }
        assert named <= set(TITLES)


def test_what_the_door_answers_to_the_examples_is_what_is_described(door, world):
    for path, _, operation in operations():
        for media in operation.get("requestBody", {}).get("content", {}).values():
            for example in media.get("examples", {}).values():
                answer = door.ask(path, example["value"])
                assert answer.status == 200, answer.body
                assert not answered(answer, path)


def test_verdicts_of_every_sort_are_what_is_described(door, world):
    allow_signing(world)
    text = issued(world)[2].reveal()
    signer = signer_of(world, "hmac-sha256")
    door.feed.tick()
    question = received(signer)
    malformed = json.loads(json.dumps(question))
    malformed["headers"]["signature"] = "x"
    asked: list[tuple[str, object, int]] = [
        ("/v1/verify", {"key": text}, 200),
        ("/v1/verify", {"key": "x"}, 200),
        ("/v1/verify", {"key": text, "client": {"address": None}}, 200),
        ("/v1/verify", {}, 422),
        ("/v1/verify", b"{", 400),
        ("/v1/verify:batch", {"keys": [{"key": text}, {"key": mint("prod").secret.reveal()}]}, 200),
        ("/v1/verify-signature", question, 200),
        ("/v1/verify-signature", question, 200),
        ("/v1/verify-signature", malformed, 200),
        ("/v1/verify-signature", question | {"body": "x"}, 422),
    ]
    for path, value, status in asked:
        answer = door.ask(path, value)
        assert (answer.status, answered(answer, path)) == (status, []), value
    for token in (text, "x"):
        assert not answered(door.introspect(token), "/oauth2/introspect")


def test_a_nonce_store_that_cannot_know_answers_as_described(door, world, settled_nonces):
    allow_signing(world)
    signer = signer_of(world, "hmac-sha256")
    door.feed.tick()
    settled_nonces.flushdb()
    answer = door.ask("/v1/verify-signature", received(signer))
    assert (answer.status, answered(answer, "/v1/verify-signature")) == (503, [])


@pytest.mark.parametrize("examples", [2, pytest.param(200, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
def test_the_door_keeps_its_word(door, examples, monkeypatch):
    """All checks of Schemathesis against the application itself, as a service and as a gateway."""
    send = WSGITransport.send

    def without_settings_of_sockets(self, case, *, session=None, **kwargs):
        for name in ("max_redirects", "verify", "cert", "proxies"):
            kwargs.pop(name, None)
        return send(self, case, session=session, **kwargs)

    monkeypatch.setattr(WSGITransport, "send", without_settings_of_sockets)
    config = SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "color": False,
            "workers": 1,
            "continue-on-failure": True,
            "generation": {"max-examples": examples, "deterministic": True, "database": "none", "no-shrink": True},
            "phases": {
                "examples": {"enabled": True},
                "coverage": {"enabled": examples > 2},
                "stateful": {"enabled": False},
            },
            "checks": {
                "positive_data_acceptance": {"expected-statuses": ["2xx", "400", "401", "403", "422"]},
                "negative_data_rejection": {"expected-statuses": ["400", "401", "403", "413", "415", "422", "5xx"]},
            },
            # A gateway whose own credential is wrong is told 503: 401 would be passed on to its client.
            "operations": [
                {
                    "include-path": "/v1/forward-auth",
                    "checks": {
                        "not_a_server_error": {"enabled": False},
                        "missing_required_header": {"expected-statuses": ["400", "503"]},
                    },
                }
            ],
        }
    )

    def site(environ, start_response):
        door.stay_fresh()
        environ.setdefault("REMOTE_ADDR", "127.0.0.1")
        return door.application(environ, start_response)

    schema = schemathesis.openapi.from_wsgi(PATH, site, config=config)

    class Caller:
        def get(self, case, context):
            return door.credential

        def set(self, case, credential, context):
            case.headers["Keystead-Credential" if "forward" in case.path else "Authorization"] = (
                credential if "forward" in case.path else f"Bearer {credential}"
            )

    schema.auth()(Caller)
    failures = [each for event in from_schema(schema).execute() for each in failures_in(event)]
    assert not failures, "\n".join(sorted(set(failures))[:40])
