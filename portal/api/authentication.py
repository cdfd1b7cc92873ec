"""Know who calls: a person by a session with a second factor, or a program by a managed key of the service `keystead`."""

from __future__ import annotations

from typing import Final

from rest_framework.authentication import BaseAuthentication, SessionAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from audit.actor import Actor, ActorKind, Auth, RequestFacts
from keys.verification.credentials import Credential, authenticate_credential
from portal import client_address
from portal.actors import facts_of, find_actor

CHALLENGE: Final = 'Bearer realm="keystead"'


def actor_of_program(credential: Credential, facts: RequestFacts, *, method: str) -> Actor:
    """The program behind a credential, as operations know it; `method` says how it proved itself this time."""
    return Actor(
        kind=ActorKind.PROGRAM,
        id=str(credential.key_id),
        name=credential.name,
        auth=Auth(methods=(method,), device=credential.kid, assurance="managed-key"),
        http=facts,
    )


class SessionWithMfa(SessionAuthentication):
    """A person. A session without a second factor is nobody; every change needs the CSRF token."""

    def authenticate(self, request: Request) -> tuple[Actor, None] | None:
        """Return the person behind the session, unless the caller names another way in."""
        http = request._request  # noqa: SLF001 - DRF's documented name of Django's request
        if get_authorization_header(request) or "HTTP_SIGNATURE_INPUT" in http.META:
            return None
        actor = find_actor(http)
        if actor is None:
            return None
        # Looking for the token may read a form off the stream; what was read here stays for the parser and the digest.
        _ = http.body
        try:
            self.enforce_csrf(http)  # type: ignore[arg-type]  # Django's check wants Django's request
        except PermissionDenied as denied:
            raise PermissionDenied(code="csrf_failed") from denied
        return actor, None

    def authenticate_header(self, request: Request) -> str:
        """Name the way in for programs: with it, nobody gets 401 and not 403."""
        return CHALLENGE


class ManagedKey(BaseAuthentication):
    """A program, by `Authorization: Bearer ks_...`."""

    def authenticate(self, request: Request) -> tuple[Actor, Credential] | None:
        """Return the program behind the key; one answer for everything that is wrong with it."""
        header = get_authorization_header(request)
        if not header:
            return None
        http = request._request  # noqa: SLF001 - DRF's documented name of Django's request
        scheme, _, token = header.partition(b" ")
        if scheme.lower() != b"bearer":
            raise AuthenticationFailed(code="invalid_token")
        facts = facts_of(http)
        credential = authenticate_credential(
            token.strip().decode("latin-1"), address=client_address.of_request(http), user_agent=facts.user_agent
        )
        if credential is None:
            raise AuthenticationFailed(code="invalid_token")
        return actor_of_program(credential, facts, method="managed-key"), credential

    def authenticate_header(self, request: Request) -> str:
        """Name the way in."""
        return CHALLENGE
