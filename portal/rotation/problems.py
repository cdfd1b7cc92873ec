"""Say to a client why its secret is not replaced now, as a problem (RFC 9457); nothing of what was sent comes back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.http import HttpRequest, JsonResponse
from django.utils.translation import gettext_lazy as _

from keys.errors import KeysError
from keys.lifecycle.fetch_facts import SOMETIME, SOON
from keys.words import sentence_for
from portal.middleware import request_id_of

CHALLENGE: Final = 'Bearer realm="keystead"'
TITLES: Final = {
    "address_not_allowed_here": _("Nothing may stand in the query string: keys in addresses end up in logs."),
    "idempotency_key_needed": _("Send the header Idempotency-Key with 16 to 200 visible ASCII characters."),
    "invalid_token": _("The secret of a key that works is needed, or one that was fetched and waits to be activated."),
    "malformed_json": _("The body is not strict JSON."),
    "method_not_allowed": _("This method is not answered here."),
    "too_many_requests": _("This key asks too often."),
    "unavailable": _("The database cannot be asked right now."),
    "unknown_field": _("The body is empty or {}."),
    "unsupported_media_type": _("Send no body, or application/json."),
}
# What a client needs in order to know when to ask again.
_TOLD: Final[tuple[str, ...]] = ("state", "due_at", "retire_at")


class Refused(Exception):
    """The request cannot be answered as it stands."""

    def __init__(self, status: int, code: str, **headers: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def problem_of_refusal(refused: Refused, http: HttpRequest) -> JsonResponse:
    """Answer what this door refuses itself."""
    answer = _problem(http, refused.status, refused.code, str(TITLES[refused.code]))
    for name, value in refused.headers.items():
        answer[name] = value
    if refused.status == 401:
        answer["WWW-Authenticate"] = f'{CHALLENGE}, error="invalid_token"'
    return answer


def problem_of_operation(error: KeysError, http: HttpRequest) -> JsonResponse:
    """Answer what an operation refused, with the times that go with it."""
    told: dict[str, object] = {name: _shown(error.params[name]) for name in _TOLD if name in error.params}
    after = error.retry_after
    if error.code in ("rotation_not_due", "no_rotation"):
        after = _seconds_until(error.params.get("due_at"), at=datetime.now(UTC))
        told["check_after"] = after
    answer = _problem(http, error.status, error.code, sentence_for(error.code, error.params), told)
    if after is not None:
        answer["Retry-After"] = str(after)
    return answer


def moment(at: datetime | None) -> str | None:
    """A time as these answers write it: RFC 3339, UTC, milliseconds."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z" if at else None


def _problem(
    http: HttpRequest, status: int, code: str, title: str, told: Mapping[str, object] | None = None
) -> JsonResponse:
    body: dict[str, Any] = {
        "type": f"urn:keystead:problem:{code}",
        "title": title,
        "status": status,
        "code": code,
        "request_id": request_id_of(http),
        **(told or {}),
    }
    return JsonResponse(body, status=status, content_type="application/problem+json")


def _shown(value: object) -> object:
    return moment(value) if isinstance(value, datetime) else value


def _seconds_until(due_at: object, *, at: datetime) -> int:
    """Only advice: by this process's clock, never sooner than a minute, never later than a quarter of an hour."""
    left = due_at - at if isinstance(due_at, datetime) else SOMETIME
    return int(min(max(left, SOON), SOMETIME) / timedelta(seconds=1))
