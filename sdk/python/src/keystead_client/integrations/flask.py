"""Protect views of Flask."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from typing import Any, TypeVar, cast

from flask import Response, g, request

from keystead_client.integrations.protection import MOST_BODY, Answer, AnyVerifier, Arrived, decide
from keystead_client.integrations.wsgi import _raw_path

View = TypeVar("View", bound=Callable[..., Any])  # Any: a view takes whatever its address names


class Keystead:
    """Decorates views: `@keystead.require("orders:read")`, below `@app.route`. In the view, `g.keystead` is the verdict."""

    def __init__(self, verifier: AnyVerifier, *, client_address: Callable[[], str | None] | None = None) -> None:
        self._verifier, self._client_address = verifier, client_address or (lambda: request.remote_addr)

    def require(self, *scopes: str) -> Callable[[View], View]:
        """Let a request in with a valid key that has all these scopes."""

        def decorate(view: View) -> View:
            @functools.wraps(view)
            def wrapped(*args: Any, **named: Any) -> Any:
                outcome = decide(self._verifier, _arrived(self._client_address()), scopes)
                if isinstance(outcome, Answer):
                    return Response(outcome.body, status=outcome.status, headers=list(outcome.headers))
                g.keystead = outcome
                return view(*args, **named)

            return cast(View, wrapped)

        return decorate


def _arrived(address: str | None) -> Arrived:
    headers = {name.lower(): tuple(request.headers.getlist(name)) for name in request.headers.keys()}  # noqa: SIM118 - it is a list of pairs
    return Arrived(
        method=request.method,
        scheme=request.scheme,
        authority=request.headers.get("Host", ""),
        path=_raw_path(request.environ),
        query=request.query_string.decode("latin-1"),
        headers=headers,
        address=address,
        body=_body() if "signature-input" in headers else b"",
    )


def _body() -> bytes:
    """Read the body that a signature covers, no more of it than is checked: whoever sends it is nobody yet."""
    length = request.content_length
    if length is not None and length <= MOST_BODY:
        return request.get_data(cache=True)
    body: bytes = request.stream.read(MOST_BODY + 1)
    request.stream = io.BytesIO(body)  # for the view to read it again
    return body
