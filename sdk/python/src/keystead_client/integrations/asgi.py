"""Protect a whole ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, TypeAlias

from keystead_client.integrations.protection import MOST_BODY, Answer, AnyVerifier, Arrived, decide_async

Scope: TypeAlias = MutableMapping[str, Any]  # Any: the words of ASGI's specification
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class KeysteadMiddleware:
    """Lets through requests with a valid key; the verdict is `scope["keystead.verdict"]`.

    `scopes` are those that every request needs, or a function of the ASGI scope that says them; None from it lets a request
    through without a key. WebSockets are refused before they are accepted.
    """

    def __init__(
        self,
        app: Application,
        verifier: AnyVerifier,
        *,
        scopes: Sequence[str] | Callable[[Scope], Sequence[str] | None] = (),
        client_address: Callable[[Scope], str | None] | None = None,
    ) -> None:
        self._app, self._verifier = app, verifier
        self._scopes, self._client_address = scopes, client_address or remote_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.pop("keystead.verdict", None)
        scopes = self._scopes(scope) if callable(self._scopes) else self._scopes
        if scope["type"] not in ("http", "websocket") or scopes is None:
            await self._app(scope, receive, send)
            return
        body, receive = await _body(scope, receive)
        outcome = await decide_async(self._verifier, arrived(scope, self._client_address(scope), body), scopes)
        if isinstance(outcome, Answer):
            await _refuse(outcome, scope, send)
            return
        scope["keystead.verdict"] = outcome
        await self._app(scope, receive, send)


def remote_address(scope: Scope) -> str | None:
    """Read the address of the socket."""
    client = scope.get("client")
    return client[0] if client else None


def arrived(scope: Scope, address: str | None, body: bytes) -> Arrived:
    """Read an ASGI scope as a decision needs it."""
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return Arrived(
        method=scope.get("method", "GET"),
        scheme=scope.get("scheme", "https").replace("ws", "http", 1),
        authority=headers.get("host", [""])[0],
        path=(scope.get("raw_path") or scope["path"].encode()).decode("latin-1").partition("?")[0],
        query=scope.get("query_string", b"").decode("latin-1"),
        headers=headers,
        address=address,
        body=body,
    )


async def _body(scope: Scope, receive: Receive) -> tuple[bytes, Receive]:
    """Read the body only when a signature covers it, and let the application read it again."""
    if scope["type"] != "http" or not any(name.lower() == b"signature-input" for name, _ in scope["headers"]):
        return b"", receive
    body, more = b"", True
    while more and len(body) <= MOST_BODY:
        message = await receive()
        if message["type"] != "http.request":
            break
        body += message.get("body", b"")
        more = message.get("more_body", False)
    again: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return again.pop() if again else await receive()

    return body, replay


async def _refuse(answer: Answer, scope: Scope, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers]
    headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
