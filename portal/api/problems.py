"""Say what went wrong as a problem (RFC 9457): a stable code, words, the request id, and the fields it is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest
from django.http.multipartparser import MultiPartParserError
from django.http.request import UnreadablePostError
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from keys.errors import Denied, Invalid, KeysError
from portal.api.words import words_for
from portal.middleware import request_id_of

CONTENT_TYPE: Final = "application/problem+json"
STATUSES: Final = (400, 401, 403, 404, 405, 406, 409, 410, 413, 415, 422, 428, 429, 503)
TITLES: Final = {
    400: "The request cannot be read",
    401: "Say who you are",
    403: "Not allowed",
    404: "There is nothing here",
    405: "This method is not offered here",
    406: "Only JSON is offered",
    409: "Not in the present state",
    410: "Gone",
    413: "Too large",
    415: "Only application/json is read",
    422: "The input breaks rules",
    428: "A condition is needed",
    429: "Too many requests",
    503: "Busy, try again",
}
# Codes of DRF and Django that this interface says in its own words.
_CODES: Final = {
    "parse_error": "malformed_json",
    "permission_denied": "denied",
    "not_authenticated": "not_authenticated",
    "authentication_failed": "invalid_token",
    "unsupported_media_type": "unsupported_media_type",
    "invalid": "invalid_input",
}
_MOST_ERRORS: Final = 50


class BadRequest(KeysError):
    """The address or a header cannot be understood; `field` says which part."""

    status = 400

    def __init__(self, code: str, /, field: str = "") -> None:
        super().__init__(code)
        self.field = field


class KeyReused(KeysError):
    """An Idempotency-Key came again with another request."""

    status = 422


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response | None:  # Any: DRF's context
    """Answer every refusal; what is returned as None is a fault of ours and goes to the site's handler."""
    http: HttpRequest = context["request"]
    answer = _answer(error, http)
    if answer is not None:
        set_rollback()
    return answer


def _answer(error: Exception, http: HttpRequest) -> Response | None:  # noqa: PLR0911 - one kind of error a line
    if isinstance(error, KeysError):
        return _of_operation(error, http)
    if isinstance(error, Http404):
        return problem(http, 404, "not_found")
    if isinstance(error, RequestDataTooBig):
        return problem(http, 413, "body_too_large")
    if isinstance(error, SuspiciousOperation | UnreadablePostError | MultiPartParserError):
        return problem(http, 400, "malformed_request")
    if isinstance(error, DjangoPermissionDenied):
        return problem(http, 403, "denied")
    if isinstance(error, exceptions.ValidationError):
        return problem(http, 422, "invalid_input", errors=list(_fields(error.detail)))
    if isinstance(error, exceptions.APIException):
        return _of_framework(error, http)
    return None


def _of_operation(error: KeysError, http: HttpRequest) -> Response:
    if error.status == 404 or (isinstance(error, Denied) and error.hidden):
        return problem(http, 404, "not_found")
    detail = words_for(error.code, error.params)
    if isinstance(error, Invalid):
        errors = [
            {"field": name, "code": code, "detail": words_for(code, params)}
            for name, (code, params) in sorted(error.fields.items())
        ]
        return problem(http, error.status, error.code, detail=detail, errors=errors)
    if isinstance(error, Denied):
        return problem(http, error.status, error.code, detail=detail, rule=error.rule)
    if isinstance(error, BadRequest) and error.field:
        return problem(http, 400, error.code, errors=[{"field": error.field, "code": error.code}])
    answer = problem(http, error.status, error.code, detail=detail)
    if error.retry_after is not None:
        answer["Retry-After"] = str(error.retry_after)
    return answer


def _of_framework(error: exceptions.APIException, http: HttpRequest) -> Response:
    codes = error.get_codes()
    code = codes if isinstance(codes, str) else "invalid_input"
    named = _CODES.get(code, code)
    detail = str(error.detail) if named == "malformed_json" else ""
    answer = problem(http, error.status_code, named, detail=detail)
    answer.data |= getattr(error, "members", {})
    header = getattr(error, "auth_header", None)
    if header:
        answer["WWW-Authenticate"] = header
    wait = getattr(error, "wait", None)
    if wait:
        answer["Retry-After"] = str(int(wait))
    return answer


def _fields(detail: Any, path: str = "") -> Iterator[dict[str, str]]:  # Any: DRF nests dicts and lists of details
    if isinstance(detail, Mapping):
        for name, inner in sorted(detail.items(), key=lambda item: str(item[0])):
            own = "" if name == "non_field_errors" else str(name)[:80]
            yield from _fields(inner, f"{path}.{own}".strip("."))
    elif isinstance(detail, list):
        for inner in detail:
            yield from _fields(inner, path)
    else:
        code = getattr(detail, "code", "invalid")
        yield {"field": path, "code": code, "detail": words_for(code) or str(detail)}


def problem(
    http: HttpRequest,
    status: int,
    code: str,
    *,
    detail: str = "",
    rule: str = "",
    errors: list[dict[str, str]] | None = None,
) -> Response:
    """Build the answer; `instance` is the path alone, for a query may hold what should not be repeated."""
    body: dict[str, Any] = {
        "type": f"urn:keystead:problem:{code}",
        "title": TITLES[status],
        "status": status,
        "detail": detail or words_for(code) or TITLES[status],
        "instance": http.path,
        "code": code,
        "request_id": request_id_of(http),
    }
    if rule:
        body["rule"] = rule
    if errors:
        body["errors"] = errors[:_MOST_ERRORS]
    return Response(body, status=status, content_type=CONTENT_TYPE)
