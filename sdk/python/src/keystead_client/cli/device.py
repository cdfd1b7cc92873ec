"""Speak the device authorization grant (RFC 8628), and revoke what came of it (RFC 7009)."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn
from urllib.parse import urlencode

from keystead_client.errors import Busy, Refused, Unreachable
from keystead_client.key_text import is_token
from keystead_client.secret import Secret
from keystead_client.transport import Reply, Transport, raise_for

CLIENT: Final = "keystead-cli"
GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
SLOWER_BY: Final = 5
_LONGEST_PAUSE: Final = 60.0
_WORDS: Final = {
    "access_denied": "You, or somebody who typed the code, said no in the browser.",
    "expired_token": "Nobody answered in time. Begin again.",
    # Also what an answer that was lost looks like: by then the token is with nobody, and it opens nothing any more.
    "invalid_grant": "This code was used already, or its sign-in was ended. Begin again, and tell an administrator if it happens twice.",
    "unauthorized_client": "This Keystead signs no command lines in. Use a key of the service keystead.",
}


@dataclass(frozen=True, kw_only=True)
class Begun:
    """What a person has to open and type, and what only this program knows."""

    page: str
    page_with_code: str
    user_code: str
    device_code: Secret = field(repr=False)
    lifetime: int
    interval: int


def begin(transport: Transport, *, name: str) -> Begun:
    """Ask to be signed in."""
    told = _post(transport, "device_authorization", {"device_name": name})
    try:
        return Begun(
            page=str(told["verification_uri"]),
            page_with_code=str(told.get("verification_uri_complete") or told["verification_uri"]),
            user_code=str(told["user_code"]),
            device_code=Secret(str(told["device_code"])),
            lifetime=int(told["expires_in"]),
            interval=int(told.get("interval") or SLOWER_BY),
        )
    except (KeyError, TypeError, ValueError):
        raise Unreachable("That answered, and not in the words of RFC 8628.", code="not_a_sign_in") from None


def wait_for(
    begun: Begun, transport: Transport, *, pause: Callable[[float], None], clock: Callable[[], float]
) -> Secret:
    """Ask for the token, never faster than told, until somebody answered or the time is over; raise Refused."""
    ends, interval = clock() + begun.lifetime, float(max(begun.interval, 1))
    asked = {"grant_type": GRANT, "device_code": begun.device_code.reveal()}
    while clock() < ends:
        pause(interval)
        try:
            told = _post(transport, "token", asked)
        except (Unreachable, Busy):
            interval = min(interval * 2, _LONGEST_PAUSE)  # RFC 8628, section 3.5: whoever is overloaded is left alone
        except Refused as refused:
            if refused.code == "slow_down":
                interval += SLOWER_BY
            elif refused.code != "authorization_pending":
                raise
        else:
            token = str(told.get("access_token", ""))
            if not is_token(token):
                raise Unreachable("That answered, and not with a token of Keystead.", code="not_a_token")
            return Secret(token)
    raise Refused(_WORDS["expired_token"], code="expired_token")


def end(token: Secret, transport: Transport) -> None:
    """Let a token open nothing any more."""
    _post(transport, "revoke", {"token": token.reveal()})


def _post(transport: Transport, door: str, form: Mapping[str, str]) -> dict[str, Any]:  # Any: whatever JSON held
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "application/json",
        "User-Agent": f"{CLIENT} ({platform.system()} {platform.machine()})",
    }
    body = urlencode({"client_id": CLIENT, **form}).encode("ascii")
    reply = transport.request("POST", f"/oauth2/{door}", headers=headers, body=body)
    if reply.status != 200:
        _refuse(reply)
    told = reply.json() if reply.body else {}
    return told if isinstance(told, dict) else {}


def _refuse(reply: Reply) -> NoReturn:
    try:
        told = json.loads(reply.body)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or not isinstance(told.get("error"), str):
        raise_for(reply)  # it may be a problem: Keystead is busy
        raise Unreachable("That answered, and not in the words of RFC 6749.", code="not_a_sign_in")
    error = told["error"]
    raise Refused(_WORDS.get(error) or str(told.get("error_description") or error), code=error, status=reply.status)
