"""Read what a request presents, ask the verifier, and write the refusal; the frameworks only carry it.

A key is read from `Authorization: Bearer` alone, exactly once. Keys in addresses end up in logs and histories: a request
that has one there is refused with 400, whether or not the key is valid.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import unquote

from keystead_client.errors import KeysteadError, Unsafe
from keystead_client.key_text import SECRET_PATTERN
from keystead_client.local import NO_NONCES
from keystead_client.signing import SignedRequest
from keystead_client.verdicts import Client, Reason, Verdict, refusal

_log: Final = logging.getLogger("keystead_client")
MOST_BODY: Final = 10 * 1024 * 1024
SIGNATURE_HEADERS: Final = ("signature-input", "signature", "content-type", "content-digest")
_TITLES: Final[Mapping[int, str]] = {
    400: "This request cannot be read in one way only",
    401: "A valid API key is needed",
    403: "This API key may not do this",
    413: "The body is too large to be checked",
    429: "This API key was used too often",
    503: "API keys cannot be verified right now; try again",
}
_TITLES_OF_CODES: Final[Mapping[str, str]] = {
    "key_in_address": "A key stands in the address, where it ends up in logs: send it as Authorization: Bearer, and have it replaced",
    "key_missing": "A valid API key is needed, as Authorization: Bearer",
}


class AnyVerifier(Protocol):
    """A `Verifier`, an `AsyncVerifier` or a `LocalVerifier`."""

    def verify(self, text: str | None, /, *, scopes: Sequence[str], method: str, client: Client) -> Any:
        """Return a verdict, or something to await for one."""
        ...


@dataclass(frozen=True, kw_only=True, repr=False)
class Arrived:
    """A request, as far as a decision about it needs it. `body` is read only when a signature covers it."""

    method: str
    scheme: str
    authority: str
    path: str
    query: str
    headers: Mapping[str, Sequence[str]]  # in lower case, each value that came
    address: str | None
    body: bytes = b""

    @property
    def is_signed(self) -> bool:
        """Whether it carries a signature of RFC 9421."""
        return "signature-input" in self.headers or "signature" in self.headers

    @property
    def has_key_in_address(self) -> bool:
        """Whether its query holds a key, however it is escaped."""
        return SECRET_PATTERN.search(unquote(self.query)) is not None

    @property
    def client(self) -> Client:
        """Who presents the key."""
        agents = self.headers.get("user-agent") or ("",)
        return Client(address=self.address, user_agent=agents[0])


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A refusal, ready to be sent."""

    status: int
    code: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


def decide(verifier: AnyVerifier, arrived: Arrived, scopes: Sequence[str]) -> Verdict | Answer:
    """Decide about a request in a thread that may wait."""
    outcome = _ask(verifier, arrived, scopes)
    if inspect.isawaitable(outcome):
        raise TypeError(
            "an AsyncVerifier serves asynchronous applications; give this one a Verifier or a LocalVerifier"
        )
    return _judged(outcome, scopes)


async def decide_async(verifier: AnyVerifier, arrived: Arrived, scopes: Sequence[str]) -> Verdict | Answer:
    """Decide about a request in an event loop: whatever would block it runs in a thread."""
    if getattr(verifier, "blocking", False) or (arrived.is_signed and getattr(verifier, "signatures_block", False)):
        outcome = await asyncio.to_thread(_ask, verifier, arrived, scopes)
    else:
        outcome = _ask(verifier, arrived, scopes)
    if inspect.isawaitable(outcome):
        try:
            outcome = await outcome
        except KeysteadError as error:
            outcome = _misused(error)
    return _judged(outcome, scopes)


def _ask(verifier: AnyVerifier, arrived: Arrived, scopes: Sequence[str]) -> Verdict | Answer | Awaitable[Verdict]:
    authorization = arrived.headers.get("authorization", ())
    if len(authorization) > 1 or (authorization and arrived.is_signed):
        return _problem(400, "header_repeated")
    if arrived.has_key_in_address:
        return _problem(400, "key_in_address")
    try:
        if arrived.is_signed:
            return _ask_about_signature(verifier, arrived, scopes)
        if not authorization:
            return _problem(401, "key_missing", challenge='Bearer realm="api"')
        scheme, _, token = authorization[0].strip().partition(" ")
        text = token.strip() if scheme.lower() == "bearer" else ""
        answer: Verdict | Awaitable[Verdict] = verifier.verify(
            text, scopes=tuple(scopes), method=arrived.method, client=arrived.client
        )
    except KeysteadError as error:
        return _misused(error)
    return answer


def _ask_about_signature(
    verifier: Any, arrived: Arrived, scopes: Sequence[str]
) -> Verdict | Answer | Awaitable[Verdict]:
    # Any: whoever checks no signatures says so by not having the method.
    ask = getattr(verifier, "verify_signature", None)
    if ask is None:
        return refusal(Reason.SIGNATURE_INVALID)
    if len(arrived.body) > MOST_BODY:
        return _problem(413, "body_too_large")
    request = SignedRequest(
        method=arrived.method,
        scheme=arrived.scheme,
        authority=arrived.authority,
        path=arrived.path,
        query=arrived.query,
        headers={name: tuple(arrived.headers[name]) for name in SIGNATURE_HEADERS if name in arrived.headers},
        body=arrived.body,
    )
    try:
        answer: Verdict | Awaitable[Verdict] = ask(request, scopes=tuple(scopes), client=arrived.client)
    except Unsafe as error:
        if error.code != NO_NONCES:
            raise
        return refusal(Reason.NOT_IN_PROCESS)  # a stranger's signature is no mistake of a service that wants none
    return answer


def _misused(error: KeysteadError) -> Answer:
    # The service's own credential is wrong: nobody's key is to blame, and nobody gets in. Only whoever runs it can mend that.
    _log.error("keystead refused this service: %s (%s)", error, error.code)
    return _problem(503, "verifier_misconfigured" if error.code != "unsafe" else "unsafe")


def _judged(outcome: Any, scopes: Sequence[str]) -> Verdict | Answer:  # Any: awaited or not
    if isinstance(outcome, Answer):
        return outcome
    verdict: Verdict = outcome
    return verdict if verdict else refused(verdict, scopes)


def refused(verdict: Verdict, scopes: Sequence[str] = ()) -> Answer:
    """Write a refusal: whoever holds the secret learns the reason, a stranger only that it is not a key."""
    reason = str(verdict.reason)
    status = verdict.status
    challenge = ""
    if status == 401:
        challenge = 'Bearer realm="api", error="invalid_token"'
    elif reason == Reason.SCOPE:
        challenge = f'Bearer realm="api", error="insufficient_scope", scope="{" ".join(scopes)}"'
    more: dict[str, int | str] = {} if verdict.server_time is None else {"server_time": verdict.server_time}
    if reason == Reason.SIGNATURE_MALFORMED and verdict.fault:
        more["fault"] = verdict.fault  # what of the form, which everybody may read, was not kept
    return _problem(status, reason, challenge=challenge, **more)


def _problem(status: int, code: str, *, challenge: str = "", **more: int | str) -> Answer:
    """Write a problem (RFC 9457); nothing of what was sent comes back."""
    title = _TITLES_OF_CODES.get(code) or _TITLES[status]
    body = {"type": f"urn:keystead:problem:{code}", "title": title, "status": status, "code": code, **more}
    headers = [("Content-Type", "application/problem+json"), ("Cache-Control", "no-store")]
    if challenge:
        headers.append(("WWW-Authenticate", challenge))
    if status in (429, 503):
        headers.append(("Retry-After", "1"))
    return Answer(status=status, code=code, headers=tuple(headers), body=json.dumps(body).encode())
