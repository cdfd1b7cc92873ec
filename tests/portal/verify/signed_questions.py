"""What a service passes on of a signed request that came, and how it can be changed on the way."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.portal.verify.knocking import Door
from tests.signing import Call, digest_of
from tests.signing_keys import Signer

BODY = b'{"amount":"12.50"}'
Question = dict[str, Any]
of_each_kind = pytest.mark.parametrize("kind", ["hmac-sha256", "ed25519"])


def now() -> int:
    return int(time.time())


def received(signer: Signer, *, created: int | None = None, nonce: str = "", **parts: Any) -> Question:
    """What a service passes on: the request as it came, and its own digest of the body."""
    call = Call(**{"method": "POST", "path": "/v1/withdrawals", "query": "a=1&b=2", "body": BODY} | parts)
    return {
        "method": call.method,
        "authority": call.authority,
        "path": call.path,
        "query": call.query,
        "headers": signer.headers(call, created=now() if created is None else created, nonce=nonce),
        "body_digest": digest_of(call.body) if call.body else None,
    }


def told(door: Door, question: Question) -> str:
    """Ask the door: valid, or why not."""
    answer = door.ask("/v1/verify-signature", question)
    assert answer.status == 200, answer.body
    return "valid" if answer.json["valid"] else answer.json["reason"]


def alter(question: Question, old: str, new: str) -> None:
    """Put something else into what the signature says of itself."""
    before, found, after = question["headers"]["signature-input"].partition(old)
    assert found, f"it does not say {old}"
    question["headers"]["signature-input"] = before + new + after


def _kid_in(question: Question) -> str:
    return str(question["headers"]["signature-input"].partition('keyid="')[2].partition('"')[0])


def _created_in(question: Question) -> int:
    return int(question["headers"]["signature-input"].partition("created=")[2].partition(";")[0])


# Each is another request than the one that was signed.
CHANGES: dict[str, Callable[[Question], object]] = {
    "method": lambda question: question.update(method="PUT"),
    "path": lambda question: question.update(path="/v1/withdrawals/"),
    "query order": lambda question: question.update(query="b=2&a=1"),
    "host": lambda question: question.update(authority="api.example.org"),
    "scheme that changes the port": lambda question: question.update(authority="api.example.com:443", scheme="http"),
    "body byte": lambda question: question.update(body_digest=digest_of(b'{"amount":"12.51"}')),
    "body and its header": lambda question: (
        question.update(body_digest=digest_of(b"x")),
        question["headers"].update({"content-digest": digest_of(b"x")}),
    ),
    "body gone": lambda question: question.update(body_digest=None),
    "content type": lambda question: question["headers"].update({"content-type": "text/plain"}),
    "nonce": lambda question: alter(question, 'nonce="', 'nonce="x'),
    "keyid": lambda question: alter(question, f'keyid="{(kid := _kid_in(question))}', f'keyid="{kid[::-1]}'),
    "algorithm": lambda question: alter(
        question,
        *(
            ("hmac-sha256", "ed25519")
            if "hmac" in question["headers"]["signature-input"]
            else ("ed25519", "hmac-sha256")
        ),
    ),
    "created": lambda question: alter(question, f"created={(at := _created_in(question))}", f"created={at - 10}"),
    "spelling of the signature": lambda question: question["headers"].update(
        signature=question["headers"]["signature"].rstrip("=:") + ":"
    ),
    "header twice": lambda question: question["headers"].update(signature=[question["headers"]["signature"]] * 2),
    "headers joined": lambda question: question["headers"].update(
        signature=", ".join([question["headers"]["signature"]] * 2)
    ),
}


# What cannot be read, and what is said of which field.
WRONG = [
    ({"method": ""}, {"method": "required"}),
    ({"method": "get it"}, {"method": "not_a_method"}),
    ({"authority": None}, {"authority": "not_text"}),
    ({"path": 1}, {"path": "not_text"}),
    ({"path": "/" + "a" * 20_000}, {"path": "too_long"}),
    ({"scheme": "ftp"}, {"scheme": "not_a_scheme"}),
    ({"headers": None}, {"headers": "required"}),
    ({"headers": []}, {"headers": "not_an_object"}),
    ({"headers": {"authorization": "x"}}, {"headers.authorization": "unknown_field"}),
    ({"headers": {"signature": 1}}, {"headers.signature": "not_text"}),
    ({"headers": {"signature": "x" * 5000}}, {"headers.signature": "too_long"}),
    ({"body_digest": "sha-256=:AAAA:"}, {"body_digest": "not_a_digest"}),
    ({"body_digest": {}}, {"body_digest": "not_a_digest"}),
    ({"body": "x"}, {"body": "unknown_field"}),
]
