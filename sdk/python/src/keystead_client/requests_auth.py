"""Present or sign with `requests`: `requests.get(url, auth=KeyAuth(credential))`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from keystead_client.credentials import AnyCredential, as_credential
from keystead_client.errors import Unsafe
from keystead_client.rotation import RotatingCredential
from keystead_client.secret import Secret
from keystead_client.signing import Signer
from keystead_client.transport import is_private


class KeyAuth(AuthBase):
    """Presents a key as Bearer. With a RotatingCredential, a 401 around a swap is answered with the other version, once."""

    def __init__(self, credential: AnyCredential, *, allow_plain_http: bool = False) -> None:
        self._credential, self._allow_plain_http = as_credential(credential), allow_plain_http

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        _refuse_plain(str(request.url), self._allow_plain_http)
        secret = self._credential.current()
        request.headers["Authorization"] = f"Bearer {secret.reveal()}"
        if isinstance(self._credential, RotatingCredential):
            again = _once(str(request.url), lambda answer: self._again(answer, secret))
            request.register_hook("response", again)  # type: ignore[no-untyped-call]  # requests' stubs
        return request

    def _again(self, answer: requests.Response, secret: Secret) -> Mapping[str, str] | None:
        assert isinstance(self._credential, RotatingCredential)
        other = self._credential.rejected(secret)
        return None if other is None else {"Authorization": f"Bearer {other.reveal()}"}


class SignatureAuth(AuthBase):
    """Signs each request. A refusal because of the clock is signed once more, by that server's time."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._headers(request))
        request.register_hook("response", _once(str(request.url), self._again))  # type: ignore[no-untyped-call]  # requests' stubs
        return request

    def _headers(self, request: requests.PreparedRequest) -> dict[str, str]:
        body = request.body or b""
        if isinstance(body, str):
            body = body.encode()
        if not isinstance(body, bytes):
            raise TypeError("a signature covers the bytes of the body: give bytes, not a stream")
        return self._signer.sign(
            str(request.method), str(request.url), body=body, content_type=request.headers.get("Content-Type", "")
        )

    def _again(self, answer: requests.Response) -> Mapping[str, str] | None:
        try:
            problem = json.loads(answer.content)
        except ValueError:
            return None
        if not isinstance(problem, dict) or not self._signer.learn_time(
            str(answer.request.url), code=str(problem.get("code")), server_time=problem.get("server_time")
        ):
            return None
        return self._headers(answer.request)


def _once(
    url: str, headers_for: Callable[[requests.Response], Mapping[str, str] | None]
) -> Callable[..., requests.Response]:
    """Make a hook that sends a request once more when it was answered with 401 and other headers may help.

    Hooks go along with a redirect, where `requests` takes a key away that was meant for another host: nobody gets one there.
    """
    used, origin = False, _origin(url)

    def hook(answer: requests.Response, **named: Any) -> requests.Response:  # Any: requests' own words for sending
        nonlocal used
        if used or answer.status_code != 401 or _origin(str(answer.request.url)) != origin:
            return answer
        used = True
        headers = headers_for(answer)
        body = answer.request.body
        if headers is None or not isinstance(body, bytes | str | None):
            return answer
        _ = answer.content  # read it, so that the connection can be used again
        answer.close()
        request = answer.request.copy()
        request.headers.update(headers)
        again: requests.Response = answer.connection.send(request, **named)
        again.history.append(answer)
        again.request = request
        return again

    return hook


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.rpartition("@")[2].lower()


def _refuse_plain(url: str, allowed: bool) -> None:  # noqa: FBT001 - the caller's own switch
    parts = urlsplit(url)
    if not allowed and not is_private(parts.scheme, parts.hostname or ""):
        raise Unsafe("Plain http would show the key to the network: use https, or say allow_plain_http=True.")
