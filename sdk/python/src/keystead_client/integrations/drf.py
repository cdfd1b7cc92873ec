"""Authenticate callers of Django REST framework by their key."""

from __future__ import annotations

from typing import ClassVar

from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException, AuthenticationFailed, ParseError, PermissionDenied, Throttled
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from keystead_client.integrations.django import arrived_at
from keystead_client.integrations.protection import Answer, AnyVerifier, decide
from keystead_client.verdicts import Verdict


class KeyHolder:
    """The `request.user` of a call with a key: a program, known by its verdict."""

    is_authenticated = True
    is_anonymous = False
    is_active = True

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        self.pk = verdict.kid

    def __str__(self) -> str:
        return self.verdict.key or self.verdict.kid


class Unverifiable(APIException):
    """Keystead cannot be asked right now: 503, and never a way in."""

    status_code = 503
    default_code = "unavailable"
    default_detail = "API keys cannot be verified right now; try again."


class KeyAuthentication(BaseAuthentication):
    """Subclass it and name your `verifier`. `request.auth` is the verdict, `request.user` a KeyHolder."""

    verifier: ClassVar[AnyVerifier]

    def authenticate(self, request: Request) -> tuple[KeyHolder, Verdict] | None:
        """Return the holder of a valid key; None without a key, so that another way in may be tried."""
        http = request._request  # noqa: SLF001 - DRF's documented name of Django's request
        arrived = arrived_at(http, self.client_address(http))
        if "authorization" not in arrived.headers and not arrived.is_signed and not arrived.has_key_in_address:
            return None
        outcome = decide(self.verifier, arrived, ())
        if isinstance(outcome, Answer):
            raise _exception(outcome)
        return KeyHolder(outcome), outcome

    def authenticate_header(self, request: Request) -> str:
        """Name the way in: with it, nobody gets 401 and not 403."""
        return 'Bearer realm="api"'

    def client_address(self, http: HttpRequest) -> str | None:
        """Read who calls; override it behind proxies."""
        return http.META.get("REMOTE_ADDR") or None


def _exception(answer: Answer) -> APIException:
    if answer.status in (400, 413):
        return ParseError(answer.code, code=answer.code)
    if answer.status == 403:
        return PermissionDenied(answer.code, code=answer.code)
    if answer.status == 429:
        return Throttled(wait=1)
    if answer.status == 503:
        return Unverifiable()
    return AuthenticationFailed(answer.code, code=answer.code)


class HasScopes(BasePermission):
    """Asks for scopes; make one with `scopes("orders:read")`."""

    wanted: ClassVar[frozenset[str]] = frozenset()

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Whether the key has all of them; nobody without a key does."""
        return isinstance(request.auth, Verdict) and bool(request.auth) and self.wanted <= request.auth.scopes


def scopes(*wanted: str) -> type[HasScopes]:
    """Make the permission class of a view: `permission_classes = [scopes("orders:read")]`."""
    return type("HasScopes", (HasScopes,), {"wanted": frozenset(wanted)})
