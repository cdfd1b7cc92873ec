"""Know a program by its signature: a request signed by a managed key of the service `keystead`, instead of its secret."""

from __future__ import annotations

import time
from typing import Final

from django.http import HttpRequest
from django.utils.encoding import escape_uri_path
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from audit.actor import Actor
from keys.errors import KeysError
from keys.signatures.reading import SignedRequest, content_digest
from keys.verification.credentials import Credential, authenticate_signed
from keys.verification.reasons import Reason
from portal import client_address
from portal.actors import facts_of
from portal.api.authentication import CHALLENGE, actor_of_program

# What only says how the request is signed, or that it came before, is told. Whatever is wrong with the key is one answer.
_TOLD: Final = frozenset(
    {
        Reason.SIGNATURE_MALFORMED,
        Reason.SIGNATURE_EXPIRED,
        Reason.SIGNATURE_IN_FUTURE,
        Reason.REPLAY,
    }
)


class TwoCredentials(KeysError):
    """Ask which is meant, a token or a signature."""


class SignatureRefused(AuthenticationFailed):
    """The signature is not accepted; `members` go into the problem, so that a client can set its clock right."""

    def __init__(self, code: str, *, fault: str, now: float) -> None:
        super().__init__(code=code)
        self.members = ({"fault": fault} if fault else {}) | {"server_time": int(now)}


class SignedByKey(BaseAuthentication):
    """A program, by `Signature-Input` and `Signature` (RFC 9421)."""

    def authenticate(self, request: Request) -> tuple[Actor, Credential] | None:
        """Return the program behind the signature; nothing to do for a request without one."""
        http = request._request  # noqa: SLF001 - DRF's documented name of Django's request
        if not is_signed(http):
            return None
        if get_authorization_header(request):
            raise TwoCredentials("two_credentials")
        facts, now = facts_of(http), time.time()
        verdict, credential = authenticate_signed(
            signed_request(http), address=client_address.of_request(http), user_agent=facts.user_agent, now=now
        )
        if credential is None:
            reason = verdict.reason if verdict.reason in _TOLD else Reason.SIGNATURE_INVALID
            raise SignatureRefused(str(reason), fault=str(verdict.fault or ""), now=now)
        return actor_of_program(credential, facts, method="signed-request"), credential

    def authenticate_header(self, request: Request) -> str:
        """Name the way in."""
        return CHALLENGE


def is_signed(http: HttpRequest) -> bool:
    """Whether the caller names a signature as the way in."""
    return "HTTP_SIGNATURE_INPUT" in http.META or "HTTP_SIGNATURE" in http.META


def signed_request(http: HttpRequest) -> SignedRequest:
    """What was signed, as it came: the path not decoded, the query not read, the digest of the body that is here."""
    meta, body = http.META, http.body
    raw = str(meta.get("RAW_URI") or meta.get("REQUEST_URI") or "")
    return SignedRequest(
        method=http.method or "",
        authority=http.get_host(),
        path=raw.partition("?")[0] if raw.startswith("/") else escape_uri_path(http.path),
        query=str(meta.get("QUERY_STRING", "")),
        headers={
            "signature-input": meta.get("HTTP_SIGNATURE_INPUT"),
            "signature": meta.get("HTTP_SIGNATURE"),
            "content-type": meta.get("CONTENT_TYPE"),
            "content-digest": meta.get("HTTP_CONTENT_DIGEST"),
        },
        body_digest=content_digest(body) if body else None,
        scheme=http.scheme or "https",
    )
