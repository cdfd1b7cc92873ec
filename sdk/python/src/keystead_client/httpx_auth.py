"""Present or sign with `httpx` or its successor `httpx2`, synchronous or not: `client.get(url, auth=KeyAuth(credential))`."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from keystead_client.credentials import AnyCredential, as_credential
from keystead_client.errors import MissingExtra, Unsafe
from keystead_client.rotation import RotatingCredential
from keystead_client.signing import Signer
from keystead_client.transport import is_private

if TYPE_CHECKING:
    Auth: Any = object
else:
    try:
        from httpx2 import Auth
    except ImportError:
        try:
            from httpx import Auth
        except ImportError:
            raise MissingExtra("This module needs httpx2 or httpx.") from None


class KeyAuth(Auth):  # type: ignore[misc]  # which of the two packages it is from is known at run time
    """Presents a key as Bearer. With a RotatingCredential, a 401 around a swap is answered with the other version, once."""

    def __init__(self, credential: AnyCredential, *, allow_plain_http: bool = False) -> None:
        self._credential, self._allow_plain_http = as_credential(credential), allow_plain_http

    def auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """Send the request, and once more if the other version may help."""
        if not self._allow_plain_http and not is_private(request.url.scheme, request.url.host):
            raise Unsafe("Plain http would show the key to the network: use https, or say allow_plain_http=True.")
        secret = self._credential.current()
        request.headers["Authorization"] = f"Bearer {secret.reveal()}"
        answer = yield request
        if answer.status_code == 401 and isinstance(self._credential, RotatingCredential):
            other = self._credential.rejected(secret)
            is_gone = getattr(request.stream, "_is_generator", False)  # sent again it would be an error of its own
            if other is not None and not is_gone:
                request.headers["Authorization"] = f"Bearer {other.reveal()}"
                yield request


class SignatureAuth(Auth):  # type: ignore[misc]  # as above
    """Signs each request. A refusal because of the clock is signed once more, by that server's time."""

    requires_request_body = True
    requires_response_body = True

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """Send the request signed, and once more if only the clock was wrong."""
        request.headers.update(self._headers(request))
        answer = yield request
        if answer.status_code == 401:
            try:
                problem = answer.json()
            except ValueError:
                return
            if isinstance(problem, dict) and self._signer.learn_time(
                str(request.url), code=str(problem.get("code")), server_time=problem.get("server_time")
            ):
                request.headers.update(self._headers(request))
                yield request

    def _headers(self, request: Any) -> dict[str, str]:
        content_type = request.headers.get("content-type", "")
        return self._signer.sign(request.method, str(request.url), body=request.content, content_type=content_type)
