"""Read a form of OAuth 2.0 strictly, and say what is wrong with it in the words of RFC 6749, section 5.2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, JsonResponse
from django.http.request import UnreadablePostError

CLIENT: Final = "keystead-cli"
_FORM: Final = re.compile(r'application/x-www-form-urlencoded(?:\s*;\s*charset="?utf-8"?)?', re.ASCII | re.IGNORECASE)
_MOST_FIELDS: Final = 20


class OAuthError(Exception):
    """An error of OAuth 2.0: its code, words for whoever writes a client, and what else the answer carries."""

    def __init__(self, error: str, words: str = "", *, status: int = 400, **headers: str) -> None:
        super().__init__(error)
        self.error = error
        self.words = words
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def read_form(http: HttpRequest) -> Mapping[str, str]:
    """Return the parameters of a request of our one client; raise OAuthError.

    A parameter without a value counts as left out, one that came twice is refused, and one that nobody knows is ignored
    (RFC 6749, section 3.2).
    """
    if http.META.get("QUERY_STRING"):
        raise OAuthError("invalid_request", "Nothing may stand in the query string: addresses end up in logs.")
    if settings.SESSION_COOKIE_NAME in http.COOKIES:
        raise OAuthError("invalid_request", "This is for programs: send no cookie.")
    if "HTTP_AUTHORIZATION" in http.META:
        # RFC 6749, section 5.2: whoever tried to prove itself by a header is told so by one.
        raise OAuthError(
            "invalid_client", "There are no client secrets here.", status=401, WWW_Authenticate='Basic realm="keystead"'
        )
    form = _parameters(http)
    if form.get("client_id") != CLIENT:
        raise OAuthError("invalid_client", f"client_id is {CLIENT}.")
    return form


def _parameters(http: HttpRequest) -> Mapping[str, str]:
    if not _FORM.fullmatch(http.META.get("CONTENT_TYPE", "").strip()) or http.META.get("HTTP_CONTENT_ENCODING"):
        raise OAuthError("invalid_request", "Send application/x-www-form-urlencoded.")
    try:
        pairs = parse_qsl(
            http.body.decode("ascii"), strict_parsing=bool(http.body), errors="strict", max_num_fields=_MOST_FIELDS
        )
    except (ValueError, RequestDataTooBig, UnreadablePostError):
        raise OAuthError("invalid_request", "This is not a form.") from None
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise OAuthError("invalid_request", "A parameter came twice.")
    if any("\0" in part for pair in pairs for part in pair):
        raise OAuthError("invalid_request", "A parameter holds a character that cannot be used.")
    return dict(pairs)


def needed(form: Mapping[str, str], name: str) -> str:
    """Return a parameter that must be there."""
    if not form.get(name):
        raise OAuthError("invalid_request", f"{name} is missing.")
    return form[name]


def told(refused: OAuthError) -> JsonResponse:
    """Answer a refusal."""
    body = {"error": refused.error} | ({"error_description": refused.words} if refused.words else {})
    answer = JsonResponse(body, status=refused.status)
    for name, value in refused.headers.items():
        answer[name] = value
    return answer
