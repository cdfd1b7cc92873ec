"""Sign a command line in and out: device authorization and tokens (RFC 8628), revocation (RFC 7009)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.csrf import csrf_exempt

from keys.crypto.key_text import KEY_PATTERN
from keys.errors import Gone, Invalid, TooMany
from keys.people.device_rows import shown_user_code
from keys.people.device_sign_ins import CODE_PERIOD, begin_device_sign_in
from keys.people.device_tokens import Granted, end_token, redeem_device_code
from portal.actors import visitor
from portal.oauth.metadata import DEVICE_GRANT
from portal.oauth.reading import OAuthError, needed, read_form, told

_WORDS: Final = {
    "authorization_pending": "Nobody has answered yet.",
    "slow_down": "Wait five seconds longer between questions from now on.",
    "access_denied": "The person said no.",
    "expired_token": "Nobody answered in time.",
    "invalid_grant": "This code is unknown, or it has given its token.",
}
Answer = Callable[[HttpRequest, Mapping[str, str]], HttpResponse]


def _door(answer: Answer) -> Callable[[HttpRequest], HttpResponse]:
    """Let programs knock with a form; no cache may keep what they are told."""

    @csrf_exempt  # no cookie counts here: one that comes is refused
    @functools.wraps(answer)
    def view(http: HttpRequest) -> HttpResponse:
        try:
            if http.method != "POST":
                raise OAuthError("invalid_request", "Use POST.", status=405, Allow="POST")
            given = answer(http, read_form(http))
        except OAuthError as refused:
            given = told(refused)
        given["Cache-Control"] = "no-store"
        given["Pragma"] = "no-cache"  # RFC 6749, section 5.1
        return given

    return view


@_door
def device_authorization(http: HttpRequest, form: Mapping[str, str]) -> HttpResponse:
    """Begin: a code for the machine, and one for the person to type."""
    if form.get("scope"):
        raise OAuthError("invalid_scope", "A device acts as its person; there are no scopes to choose from.")
    try:
        begun = begin_device_sign_in(form.get("device_name", ""), actor=visitor(http))
    except Invalid as invalid:
        code = next(code for code, _ in invalid.fields.values())
        raise OAuthError("invalid_request", f"device_name: {code}.") from None
    except TooMany as error:
        words = "Too many machines wait to be signed in."
        raise OAuthError("slow_down", words, status=429, Retry_After=str(error.retry_after)) from None
    except Gone:
        raise OAuthError("unauthorized_client", "No device is signed in here: the operator turned it off.") from None
    page = settings.KEYSTEAD_PUBLIC_URL + reverse("device")
    shown = shown_user_code(begun.user_code.reveal())
    return JsonResponse(
        {
            "device_code": begun.device_code.reveal(),
            "user_code": shown,
            "verification_uri": page,
            "verification_uri_complete": f"{page}?{urlencode({'user_code': shown})}",
            "expires_in": int(CODE_PERIOD.total_seconds()),
            "interval": begun.sign_in.interval_seconds,
        }
    )


@_door
def token(http: HttpRequest, form: Mapping[str, str]) -> HttpResponse:
    """Hand the token over, once, or say why not yet."""
    if needed(form, "grant_type") != DEVICE_GRANT:
        raise OAuthError("unsupported_grant_type", f"grant_type is {DEVICE_GRANT}.")
    outcome = redeem_device_code(needed(form, "device_code"), actor=visitor(http))
    if not isinstance(outcome, Granted):
        raise OAuthError(outcome, _WORDS[outcome])
    session = outcome.session
    ends_at, begun_at = session.ends_at, session.signed_in_at
    assert ends_at is not None
    assert begun_at is not None
    given: dict[str, Any] = {
        "access_token": outcome.token.reveal(),
        "token_type": "Bearer",
        "expires_in": int((ends_at - begun_at).total_seconds()),
    }
    return JsonResponse(given)


@_door
def revoke(http: HttpRequest, form: Mapping[str, str]) -> HttpResponse:
    """End the session of a token. A token that opens nothing is revoked already (RFC 7009, section 2.2)."""
    presented = needed(form, "token")
    if KEY_PATTERN.fullmatch(presented):
        raise OAuthError("unsupported_token_type", "A key is revoked on its page, or by the API.")
    end_token(presented, actor=visitor(http))
    return HttpResponse(status=200)
