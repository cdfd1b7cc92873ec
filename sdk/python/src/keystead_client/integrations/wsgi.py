"""Protect a whole WSGI application."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from keystead_client.integrations.protection import MOST_BODY, Answer, AnyVerifier, Arrived, decide

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_NAMES = {
    "HTTP_AUTHORIZATION": "authorization",
    "HTTP_USER_AGENT": "user-agent",
    "HTTP_SIGNATURE_INPUT": "signature-input",
    "HTTP_SIGNATURE": "signature",
    "HTTP_CONTENT_DIGEST": "content-digest",
    "CONTENT_TYPE": "content-type",
}


class KeysteadMiddleware:
    """Lets through requests with a valid key; the verdict is `environ["keystead.verdict"]`.

    `scopes` are those that every request needs, or a function of the environ that says them; None from it lets a request
    through without a key, such as a health check. `client_address` reads the address behind your proxies.
    """

    def __init__(
        self,
        application: WSGIApplication,
        verifier: AnyVerifier,
        *,
        scopes: Sequence[str] | Callable[[WSGIEnvironment], Sequence[str] | None] = (),
        client_address: Callable[[WSGIEnvironment], str | None] | None = None,
    ) -> None:
        self._application, self._verifier = application, verifier
        self._scopes, self._client_address = scopes, client_address or _remote_address

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ.pop("keystead.verdict", None)
        scopes = self._scopes(environ) if callable(self._scopes) else self._scopes
        if scopes is None:
            return self._application(environ, start_response)
        outcome = decide(self._verifier, _arrived(environ, self._client_address(environ)), scopes)
        if isinstance(outcome, Answer):
            headers = [*outcome.headers, ("Content-Length", str(len(outcome.body)))]
            start_response(f"{outcome.status} {HTTPStatus(outcome.status).phrase}", headers)
            return [outcome.body]
        environ["keystead.verdict"] = outcome
        return self._application(environ, start_response)


def _remote_address(environ: WSGIEnvironment) -> str | None:
    return environ.get("REMOTE_ADDR") or None


def _arrived(environ: WSGIEnvironment, address: str | None) -> Arrived:
    headers = {name: (environ[key],) for key, name in _NAMES.items() if environ.get(key)}
    return Arrived(
        method=environ["REQUEST_METHOD"],
        scheme=environ["wsgi.url_scheme"],
        authority=environ.get("HTTP_HOST", ""),
        path=_raw_path(environ),
        query=environ.get("QUERY_STRING", ""),
        headers=headers,
        address=address,
        body=_body(environ) if "signature-input" in headers else b"",
    )


def _raw_path(environ: WSGIEnvironment) -> str:
    # PATH_INFO is decoded, a signature covers what was on the wire; most servers offer it.
    raw: Any = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if isinstance(raw, str) and raw.startswith("/"):
        return raw.partition("?")[0]
    return quote((environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1"))


def _body(environ: WSGIEnvironment) -> bytes:
    length = environ.get("CONTENT_LENGTH") or "0"
    body: bytes = environ["wsgi.input"].read(min(int(length), MOST_BODY + 1)) if length.isdigit() else b""
    environ["wsgi.input"] = io.BytesIO(body)
    return body
