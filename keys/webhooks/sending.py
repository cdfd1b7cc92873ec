"""Send one delivery, once, and say what came of it. Nothing here touches the database, so that threads can do it."""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

import requests
from AntiSSRF import AntiSSRFError
from urllib3.exceptions import HTTPError

from audit.secret_scan import find_secret
from keys.crypto.secrets import Secret
from keys.webhooks.addresses import is_loopback
from keys.webhooks.guard import Deadline, guarded_session
from keys.webhooks.secrets import PREFIX, signature

CONNECT_SECONDS: Final = 5.0
LONGEST_SECONDS: Final = 10.0
# Of an answer nothing beyond this is read, and 200 characters are kept.
MOST_READ: Final = 4096
MOST_KEPT: Final = 200
ACCEPTED: Final = "accepted"
GONE: Final = "gone"
_UNSAFE: Final = re.compile(r"[^\x20-\x7e\u00a1-\u024f]+")


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """One attempt, as it was taken: everything that is needed to send it. Without secrets it cannot be signed; a chat needs none."""

    delivery_id: UUID
    endpoint_id: UUID
    message_id: str
    action: str
    url: str
    body: str
    is_signed: bool = True
    secrets: tuple[Secret, ...]
    attempt: int
    is_tardy: bool = False
    lease_until: datetime


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of an attempt: a word, and what the receiver said if it said anything."""

    outcome: str
    status_code: int | None = None
    latency_ms: int = 0
    text: str = ""


def send(parcel: Parcel) -> Answer:
    """Hand the event over, or say why not; never raises for what a receiver does."""
    if parcel.is_signed and not parcel.secrets:
        return Answer(outcome="secret-unreadable")
    began, code, text = time.monotonic(), None, ""
    with Deadline(LONGEST_SECONDS).running() as deadline:
        try:
            code, text = _post(parcel)
            outcome = _outcome(code)
        except AntiSSRFError:
            outcome = "address-refused"
        except (requests.exceptions.Timeout, TimeoutError):
            outcome = "timed-out"
        except socket.gaierror:
            outcome = "name-unknown"
        except requests.exceptions.SSLError:
            outcome = "timed-out" if deadline.has_passed else "certificate-refused"
        except (requests.exceptions.RequestException, HTTPError, OSError, ValueError):
            outcome = "timed-out" if deadline.has_passed else "unreachable"
    latency = round((time.monotonic() - began) * 1000)
    return Answer(outcome=outcome, status_code=code, latency_ms=latency, text=text)


def _post(parcel: Parcel) -> tuple[int, str]:
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Accept-Encoding": "identity",
        "User-Agent": "Keystead-Webhooks/1",
        "Connection": "close",
        **(_signed(parcel) if parcel.is_signed else {}),
    }
    loopback = is_loopback(urlsplit(parcel.url).hostname or "")
    with (
        guarded_session(loopback=loopback) as session,
        session.post(
            parcel.url,
            data=parcel.body.encode("utf-8"),
            headers=headers,
            timeout=(CONNECT_SECONDS, LONGEST_SECONDS),
            allow_redirects=False,
            stream=True,
        ) as answer,
    ):
        try:
            # The status is the answer; what follows it is only shown, so a broken rest changes nothing.
            said = answer.raw.read(MOST_READ, decode_content=False)
        except (HTTPError, OSError):
            said = b""
        return answer.status_code, safe_text(said)


def _signed(parcel: Parcel) -> dict[str, str]:
    at = datetime.now(tz=UTC)  # receivers compare it with their clock
    return {
        "webhook-id": parcel.message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signature(parcel.secrets, message_id=parcel.message_id, at=at, body=parcel.body),
    }


def _outcome(code: int) -> str:
    if 200 <= code < 300:
        return ACCEPTED
    if code == requests.codes.gone:
        return GONE
    return "redirected" if 300 <= code < 400 else "refused"


def safe_text(said: bytes) -> str:
    """The beginning of an answer as one line of plain characters; nothing of one that seems to hold a secret."""
    if find_secret(said) is not None or PREFIX.encode() in said:
        return "(withheld)"
    return " ".join(_UNSAFE.sub(" ", said.decode("utf-8", "replace")).split())[:MOST_KEPT]
