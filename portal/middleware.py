"""Give each request an identity, bounds and safe headers, and say in one line how it was answered."""

import re
import time
import uuid
from collections.abc import Callable
from typing import Final

import structlog
from django.conf import settings
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.utils.translation import gettext as _
from psycopg.errors import DeadlockDetected, LockNotAvailable, QueryCanceled, SerializationFailure

from audit.secret_scan import find_secret
from keys.errors import Busy
from portal import client_address, metrics

Answer = Callable[[HttpRequest], HttpResponseBase]
REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)
PROGRAM_DOORS: Final = ("/api/", "/v1/", "/oauth2/", "/.well-known/")
# Answers in the clothes of errors: somebody else's mistake, answered with 400, 403 or 404.
EXPECTED: Final = (Http404, PermissionDenied, SuspiciousOperation, MultiPartParserError, UnreadablePostError)
BUSY: Final = (LockNotAvailable, QueryCanceled, DeadlockDetected, SerializationFailure)
PERMISSIONS_POLICY: Final = (
    "camera=(), microphone=(), geolocation=(), payment=(), usb=(), "
    "publickey-credentials-get=(self), publickey-credentials-create=(self)"
)
log = structlog.get_logger("keystead.http")


def request_id_of(http: HttpRequest) -> str:
    """Return the identity of the request; "" outside of one."""
    return str(getattr(http, "request_id", ""))


def refusal(http: HttpRequest, status: int, code: str, words: str) -> HttpResponse:
    """Answer a program with a problem (RFC 9457) and a person with a sentence."""
    if not http.path.startswith(PROGRAM_DOORS):
        return HttpResponse(words + "\n", status=status, content_type="text/plain; charset=utf-8")
    problem = {
        "type": f"urn:keystead:problem:{code}",
        "title": words,
        "status": status,
        "code": code,
        "request_id": request_id_of(http),
    }
    return JsonResponse(problem, status=status, content_type="application/problem+json")


class RequestIdentity:
    """Name the request and the client, log and count the answer. Outermost, so that it sees every answer.

    An identity that comes from outside is believed only when a trusted proxy stands there to have set it.
    """

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, http: HttpRequest) -> HttpResponseBase:
        began = time.perf_counter()
        given = http.META.get("HTTP_X_REQUEST_ID", "") if settings.KEYSTEAD_TRUSTED_PROXIES else ""
        # A proxy may hand on what a stranger chose; the log takes no event with what looks like a secret.
        is_plain = REQUEST_ID.fullmatch(given) is not None and find_secret(given.encode()) is None
        http.request_id = given if is_plain else uuid.uuid4().hex  # type: ignore[attr-defined]
        http.client_address = client_address.of_request(http)  # type: ignore[attr-defined]
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id_of(http))
        try:
            answer = self.get_response(http)
            answer["X-Request-ID"] = request_id_of(http)
            self._tell(http, answer.status_code, time.perf_counter() - began)
        finally:
            structlog.contextvars.clear_contextvars()
        return answer

    def _tell(self, http: HttpRequest, status: int, seconds: float) -> None:
        route = http.resolver_match.route if http.resolver_match else "(none)"
        metrics.count_answer(http.method or "", route, status, seconds)
        tell = log.error if status >= 500 else log.info
        tell("answered", method=http.method, route=route, status=status, milliseconds=round(seconds * 1000, 1))


class SafeHeaders:
    """Add what Django and django-csp do not: nothing dynamic is stored, nothing is lent to other sites."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, http: HttpRequest) -> HttpResponseBase:
        answer = self.get_response(http)
        answer.setdefault("Cache-Control", "no-store")
        answer.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
        answer.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        return answer


class Bounds:
    """Refuse what no form or endpoint of ours can want, before anything reads it."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, http: HttpRequest) -> HttpResponseBase:
        if _declared_length(http) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            return refusal(http, 413, "body_too_large", _("That is too large: at most 64 KiB can be sent."))
        # PostgreSQL cannot hold NUL; a lookup with one would end in a 500.
        if (
            "\0" in http.path_info
            or "\0" in http.META.get("QUERY_STRING", "")
            or "%00" in http.META.get("QUERY_STRING", "")
        ):
            return refusal(http, 400, "nul_refused", _("The address contains a character that cannot be used."))
        return self.get_response(http)


def _declared_length(http: HttpRequest) -> int:
    try:
        return int(http.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0


def database_is_away(error: Exception) -> bool:
    """Tell whether the database stopped, restarts or cannot be reached; what was being committed may be done or not."""
    if isinstance(error, InterfaceError):
        return True
    # Without a code of the server's there was no server; 08 and 57P are its words for connections and for stopping.
    code = getattr(error.__cause__, "sqlstate", None) or "08"
    return isinstance(error, OperationalError) and code.startswith(("08", "57P"))


class PatientErrors:
    """Turn a lock not had in time, or a database that is away, into 503; log every other failure by its class and place."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, http: HttpRequest) -> HttpResponseBase:
        return self.get_response(http)

    def process_exception(self, http: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer for a view that raised."""
        if isinstance(error, Busy) or (isinstance(error, OperationalError) and isinstance(error.__cause__, BUSY)):
            answer = refusal(http, 503, "busy_retry", _("Somebody else is changing this right now. Please try again."))
            answer["Retry-After"] = "1"
            return answer
        if database_is_away(error):
            log.error("failed", exc_info=error)
            words = _("The database cannot be reached right now. See whether it was done before you send it again.")
            answer = refusal(http, 503, "unavailable", words)
            answer["Retry-After"] = "5"
            return answer
        if not isinstance(error, EXPECTED):
            log.error("failed", exc_info=error)
        return None
