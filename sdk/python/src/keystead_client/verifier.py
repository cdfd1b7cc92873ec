"""Ask Keystead about presented keys over HTTP, over kept connections, failing closed."""

from __future__ import annotations

import json
import logging
import re
import ssl
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from keystead_client.credentials import AnyCredential, as_credential, showing
from keystead_client.errors import Busy, KeysteadError, MalformedKey, Refused, Unreachable
from keystead_client.key_text import parse
from keystead_client.secret import Secret
from keystead_client.signature_profile import MalformedSignature
from keystead_client.signature_reading import read_signed
from keystead_client.signing import SignedRequest
from keystead_client.transport import Reply, Transport, raise_for
from keystead_client.verdicts import NOBODY_KNOWN, Client, Reason, Verdict, read_verdict, refusal

_log: Final = logging.getLogger("keystead_client")
MOST_AT_ONCE: Final = 100
MOST_BYTES: Final = 60 * 1024  # of questions; the door reads 64 KiB
_METHOD: Final = re.compile(r"[A-Z]{1,20}", re.ASCII)  # what the door reads


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """One key to ask about; `scopes` are those that the call needs, matched exactly."""

    key: Secret
    scopes: tuple[str, ...] = ()
    method: str = ""
    client: Client = NOBODY_KNOWN

    def as_json(self) -> dict[str, Any]:
        """Write what `/v1/verify` reads. The result holds the secret: send it, do not keep it."""
        body: dict[str, Any] = {"key": self.key.reveal()}
        if self.scopes:
            body["scopes"] = list(self.scopes)
        if _METHOD.fullmatch(self.method):  # a stranger may send any; whatever it is decides nothing
            body["method"] = self.method
        if client := self.client.as_json():
            body["client"] = client
        return body


class Verifier:
    """Decides about presented keys by asking Keystead. Thread-safe; make one for the life of the process.

    A bad key, a network that is down and a Keystead that is busy are refusals, never exceptions. Only a mistake of the
    service itself raises Refused, such as a credential that may not verify.

    `timeout`: seconds that Keystead may be silent; `connections`: how many are kept open when nobody asks. Raises Unsafe for
    plain http to another machine, unless `allow_plain_http`, and ValueError for what is no address.
    """

    blocking = True

    def __init__(
        self,
        url: str,
        *,
        credential: AnyCredential,
        timeout: float = 2.0,
        connections: int = 16,
        tls: ssl.SSLContext | None = None,
        allow_plain_http: bool = False,
    ) -> None:
        self._credential = as_credential(credential)
        self._transport = Transport(
            url, timeout=timeout, connections=connections, tls=tls, allow_plain_http=allow_plain_http
        )

    def verify(
        self, text: str | None, /, *, scopes: Sequence[str] = (), method: str = "", client: Client = NOBODY_KNOWN
    ) -> Verdict:
        """Decide about one key. `scopes` are those that this call needs, matched exactly."""
        if text is None or not _is_readable(text):
            return refusal(Reason.MALFORMED)
        question = Question(key=Secret(text), scopes=tuple(scopes), method=method, client=client)
        try:
            return read_verdict(self._post("/v1/verify", question.as_json()))
        except (Unreachable, Busy) as error:
            return _unavailable(error)

    def verify_many(self, questions: Iterable[Question]) -> list[Verdict]:
        """Decide about many keys, at most a hundred in a request; the verdicts come in the order of the questions."""
        asked = list(questions)
        verdicts = [refusal(Reason.MALFORMED)] * len(asked)
        readable = [place for place, each in enumerate(asked) if _is_readable(each.key.reveal())]
        for places in _together(readable, asked):
            try:
                answer = self._post("/v1/verify:batch", {"keys": [asked[place].as_json() for place in places]})
                found = [read_verdict(each) for each in _results(answer, len(places))]
            except (Unreachable, Busy) as error:
                found = [_unavailable(error)] * len(places)
            for place, verdict in zip(places, found, strict=True):
                verdicts[place] = verdict
        return verdicts

    def verify_signature(
        self, request: SignedRequest, *, scopes: Sequence[str] = (), client: Client = NOBODY_KNOWN
    ) -> Verdict:
        """Decide about a request signed by RFC 9421. Only Keystead can: it keeps the secrets and the nonces."""
        body = request.as_json()
        if scopes:
            body["scopes"] = list(scopes)
        if known := client.as_json():
            body["client"] = known
        try:
            return read_verdict(self._post("/v1/verify-signature", body))
        except (Unreachable, Busy) as error:
            return _unavailable(error)
        except Refused as refused:
            if not _is_the_senders(refused):
                raise
            return Verdict(valid=False, reason=Reason.SIGNATURE_MALFORMED, fault=_fault(request))

    def close(self) -> None:
        """Close the idle connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _post(self, path: str, body: object) -> Any:  # Any: whatever JSON held
        encoded = json.dumps(body, separators=(",", ":")).encode()

        def ask(secret: Secret) -> Reply:
            headers = {"Authorization": f"Bearer {secret.reveal()}", "Content-Type": "application/json"}
            reply = self._transport.request("POST", path, headers=headers, body=encoded)
            raise_for(reply)
            return reply

        return showing(self._credential, ask).json()


def _together(places: Sequence[int], asked: Sequence[Question]) -> Iterator[list[int]]:
    # Strangers choose how long their User-Agent is: what is too much for one request is no mistake of who asks.
    group: list[int] = []
    size = 0
    for place in places:
        length = len(json.dumps(asked[place].as_json(), separators=(",", ":"))) + 1
        if group and (len(group) == MOST_AT_ONCE or size + length > MOST_BYTES):
            yield group
            group, size = [], 0
        group.append(place)
        size += length
    if group:
        yield group


def _is_the_senders(refused: Refused) -> bool:
    """Tell whether what could not be read came with the signed request. The scopes are the service's own."""
    if refused.status == 413:
        return True
    errors = refused.members.get("errors")
    return refused.status == 422 and isinstance(errors, list) and not any(_is_about_scopes(each) for each in errors)


def _is_about_scopes(error: object) -> bool:
    return not isinstance(error, dict) or str(error.get("field", "")).startswith(("scopes", "scheme"))


def _fault(request: SignedRequest) -> str:
    try:
        read_signed(request)
    except MalformedSignature as malformed:
        return str(malformed.fault)
    return ""


def _is_readable(text: str) -> bool:
    # A typo or a stranger's string costs Keystead nothing.
    try:
        parse(text)
    except MalformedKey:
        return False
    return True


def _results(answer: object, count: int) -> list[object]:
    results = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(results, list) or len(results) != count:
        raise Unreachable("The answer does not hold one verdict a key.", code="not_a_verdict")
    return results


def _unavailable(error: KeysteadError) -> Verdict:
    _log.warning("keystead could not be asked: %s (%s)", error, error.code)
    return refusal(Reason.STALE if error.code == "verifier_stale" else Reason.UNAVAILABLE)
