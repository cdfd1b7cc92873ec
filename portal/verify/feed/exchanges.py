"""Read and write HTTP as ASGI carries it, without a framework: headers, a small body, one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from portal import client_address
from portal.verify.problems import Reply
from portal.verify.reading import LONGEST_BODY, Refused

SENDING: Final = 5.0  # seconds for a body of a few bytes
Message = dict[str, Any]  # Any: ASGI's messages hold what they hold
Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def headers_of(scope: Scope) -> dict[str, str]:
    """Read the headers; one that says who asks and came twice says nothing."""
    found: dict[str, str] = {}
    for raw, value in scope["headers"]:
        name = raw.decode("latin-1").lower()
        if name == "authorization" and name in found:
            raise Refused(400, "header_repeated")
        found[name] = f"{found[name]},{value.decode('latin-1')}" if name in found else value.decode("latin-1")
    return found


def address_of(scope: Scope, headers: Mapping[str, str]) -> str | None:
    """Where the caller is, believing as many proxies as the operator named."""
    environ = {"REMOTE_ADDR": (scope.get("client") or ("",))[0]}
    if "x-forwarded-for" in headers:
        environ["HTTP_X_FORWARDED_FOR"] = headers["x-forwarded-for"]
    return client_address.of_environ(environ)


def need(scope: Scope, *methods: str) -> None:
    """Refuse other methods, and anything in the query string: what stands in addresses ends up in logs."""
    if scope["method"] not in methods:
        raise Refused(405, "method_not_allowed")
    if scope["query_string"]:
        raise Refused(400, "address_not_allowed_here")


async def read_body(receive: Receive) -> bytes:
    """Read a small body, from somebody who sends it."""
    parts, length = [], 0
    try:
        async with asyncio.timeout(SENDING):
            while length <= LONGEST_BODY:
                message = await receive()
                parts.append(message.get("body", b""))
                length += len(parts[-1])
                if not message.get("more_body"):
                    break
    except TimeoutError:
        raise Refused(400, "malformed_json") from None
    return b"".join(parts)


def raw_headers(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Write headers as ASGI wants them."""
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]


async def say(reply: Reply, send: Send) -> None:
    """Send a whole answer."""
    await send({"type": "http.response.start", "status": reply.status, "headers": raw_headers(reply.headers)})
    await send({"type": "http.response.body", "body": reply.body, "more_body": False})
