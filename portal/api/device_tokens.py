"""Know a person by the token of a device that they allowed to act for them (RFC 8628, RFC 6750)."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from audit.actor import Actor
from keys.people.device_tokens import find_device_session
from portal.actors import actor_from, facts_of
from portal.api.authentication import CHALLENGE
from portal.api.signatures import TwoCredentials

BEGINNING: Final = b"ks_person_"


class DeviceToken(BaseAuthentication):
    """A person, by `Authorization: Bearer ks_person_...`: with both factors, and never with presence."""

    def authenticate(self, request: Request) -> tuple[Actor, None] | None:
        """Return the person behind the token; nothing to do for a request without one."""
        scheme, _, token = get_authorization_header(request).partition(b" ")
        token = token.strip()
        if scheme.lower() != b"bearer" or not token.startswith(BEGINNING):
            return None
        http = request._request  # noqa: SLF001 - DRF's documented name of Django's request
        if settings.SESSION_COOKIE_NAME in http.COOKIES:
            raise TwoCredentials("two_credentials")  # a page that got hold of a token does not act beside a person
        row = find_device_session(token.decode("latin-1"))
        if row is None or row.person is None:
            raise AuthenticationFailed(code="invalid_token")
        return actor_from(row, row.person, facts=facts_of(http)), None

    def authenticate_header(self, request: Request) -> str:
        """Name the way in."""
        return CHALLENGE
