"""Answer refusals and mistakes with pages that say what happened and what to do next."""

from collections.abc import Callable
from typing import NamedTuple

import structlog
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from keys.errors import Denied, KeysError
from keys.words import sentence_for
from portal.middleware import PROGRAM_DOORS, database_is_away, refusal

log = structlog.get_logger("keystead.http")


class Friendly(NamedTuple):
    """What a page says about a status."""

    title: Promise
    words: Promise
    icon: str


FRIENDLY = {
    400: Friendly(
        _("This request cannot be read"),
        _("Something in it is malformed. Go back, check what you sent and try again."),
        "file-question-mark",
    ),
    403: Friendly(
        _("You may not do this"),
        _("Your role or the rules of this service do not allow it. The attempt is on record."),
        "shield-x",
    ),
    404: Friendly(
        _("There is nothing here"),
        _("The address is wrong, or what it names does not exist for you."),
        "map-pin-off",
    ),
    405: Friendly(
        _("This cannot be done by following a link"),
        _("Go back to the page you came from and use its button."),
        "mouse-pointer-ban",
    ),
    409: Friendly(
        _("Something changed in the meantime"),
        _("Nothing was changed by you. Look at the present state and decide again."),
        "git-compare-arrows",
    ),
    410: Friendly(
        _("This is gone"),
        _("It could be had once, and that time is over. If you lost a secret, have a new version issued."),
        "timer-off",
    ),
    422: Friendly(
        _("This cannot be accepted as it is"),
        _("Go back, check the marked fields and send it again."),
        "list-x",
    ),
    429: Friendly(_("Too many tries"), _("Wait a little, then try again."), "hourglass"),
    500: Friendly(
        _("Something went wrong on our side"),
        _("Nothing was changed half-way. Try again; if it stays, tell your administrator the request id."),
        "server-crash",
    ),
    503: Friendly(
        _("Busy, please try again"),
        _("Someone else is changing the same thing. Nothing was changed by you; try again in a moment."),
        "loader",
    ),
}

# Codes that deserve more than what their status says.
FRIENDLY_CODES = {
    code: Friendly(
        _("Granting is paused"),
        _("Nothing was changed by you. What stops or ends a key works as always."),
        "pause",
    )
    for code in ("audit_behind", "audit_unsealed")
} | {
    "unavailable": Friendly(
        _("The database cannot be reached"),
        _("It comes back by itself, or somebody is at it. See whether it was done before you send it again."),
        "server-crash",
    ),
    "not_sealed_yet": Friendly(
        _("Not sealed yet"), _("Nothing is missing. Go back and try again in a moment."), "hourglass"
    ),
}


def error_page(
    http: HttpRequest,
    status: int,
    *,
    code: str = "",
    reason: str | Promise = "",
    retry_after: int | None = None,
) -> HttpResponse:
    """Answer with the page of `status`; `reason` are words for this case, `code` the stable name of it."""
    friendly = FRIENDLY_CODES.get(code) or FRIENDLY.get(status, FRIENDLY[400])
    context = {
        "status": status,
        "friendly": friendly,
        "code": code,
        "reason": reason,
        "request_id": getattr(http, "request_id", ""),
    }
    if status == 404:
        # The same bytes whether there is no such address or what is there is not theirs: a door would have counted.
        http.needs_count = http.inbox_count = 0  # type: ignore[attr-defined]  # see portal.web.navigation
    template = "errors/bare.html" if status >= 500 else "errors/page.html"
    answer = render(http if status < 500 else None, template, context, status=status)
    answer["Cache-Control"] = "no-store"
    if retry_after is not None:
        answer["Retry-After"] = str(retry_after)
    return answer


def answer_error(http: HttpRequest, error: KeysError) -> HttpResponse:
    """Answer a refusal of an operation. What is hidden from someone looks as if it did not exist."""
    if error.status == 404 or (isinstance(error, Denied) and error.hidden):
        return error_page(http, 404)
    words = sentence_for(error.code, error.params)
    return error_page(http, error.status, code=error.code, reason=words, retry_after=error.retry_after)


class FriendlyErrors:
    """Turn refusals of operations, and answers that carry no page, into pages (a middleware for browser doors)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, http: HttpRequest) -> HttpResponse:
        answer = self.get_response(http)
        if isinstance(answer, HttpResponseNotAllowed) and not answer.content:
            page = _answered(http, 405, "method_not_allowed", _("This method is not answered here."))
            page["Allow"] = answer["Allow"]
            return page
        return answer

    def process_view(self, http: HttpRequest, *_view: object) -> HttpResponse | None:
        """Refuse a form with NUL in it, which PostgreSQL cannot hold; the readers of JSON refuse it themselves."""
        if _is_program(http) or http.method != "POST":
            return None
        if any("\0" in text for name, values in http.POST.lists() for text in (name, *values)):
            words = _("What was sent contains a character that cannot be used.")
            return error_page(http, 400, code="nul_refused", reason=words)
        return None

    def process_exception(self, http: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer what operations refuse, and that the database is away; everything else is Django's."""
        if _is_program(http):
            return None
        if database_is_away(error):
            log.error("failed", exc_info=error)
            return error_page(http, 503, code="unavailable", retry_after=5)
        if not isinstance(error, KeysError):
            return None
        return answer_error(http, error)


def _is_program(http: HttpRequest) -> bool:
    """Tell the doors that answer in JSON: they have their own form of errors (RFC 9457)."""
    return http.path.startswith(PROGRAM_DOORS)


def _answered(http: HttpRequest, status: int, code: str, words: str | Promise) -> HttpResponse:
    """Answer what no view did: a program with a problem, a person with a page."""
    return refusal(http, status, code, str(words)) if _is_program(http) else error_page(http, status)


def bad_request(http: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Answer 400 (handler400)."""
    return _answered(http, 400, "bad_request", FRIENDLY[400].title)


def permission_denied(http: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Answer 403 (handler403)."""
    return _answered(http, 403, "forbidden", FRIENDLY[403].title)


def page_not_found(http: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Answer 404 (handler404)."""
    return _answered(http, 404, "not_found", FRIENDLY[404].title)


def server_error(http: HttpRequest) -> HttpResponse:
    """Answer 500 (handler500) without touching the database, the session or the request."""
    return _answered(http, 500, "server_error", FRIENDLY[500].title)


def csrf_failure(http: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a form whose protection is missing or out of date (CSRF_FAILURE_VIEW)."""
    if _is_program(http):
        return refusal(
            http, 403, "csrf_failed", str(_("The form, or its protection, is not that of a page of this site."))
        )
    words = _("The page was open for too long or its cookie is gone. Go back, reload the page and send it again.")
    return error_page(http, 403, code="csrf_failed", reason=words)
