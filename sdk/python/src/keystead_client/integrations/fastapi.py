"""Protect routes of FastAPI; for a whole Starlette application, see `asgi`."""

from __future__ import annotations

from collections.abc import Callable

from fastapi.exceptions import HTTPException
from fastapi.security import HTTPBearer, SecurityScopes
from starlette.requests import Request

from keystead_client.integrations.asgi import arrived, remote_address
from keystead_client.integrations.protection import MOST_BODY, Answer, AnyVerifier, decide_async
from keystead_client.verdicts import Verdict


class Keystead(HTTPBearer):
    """A dependency: `verdict: Annotated[Verdict, Security(keystead, scopes=["orders:read"])]`. OpenAPI shows it as Bearer."""

    def __init__(self, verifier: AnyVerifier, *, client_address: Callable[[Request], str | None] | None = None) -> None:
        super().__init__(scheme_name="Keystead", auto_error=False)
        self._verifier = verifier
        self._client_address = client_address or (lambda request: remote_address(request.scope))

    async def __call__(self, request: Request, security_scopes: SecurityScopes) -> Verdict:  # type: ignore[override]  # it adds the scopes that FastAPI injects
        signed = "signature-input" in request.headers
        body = await _body(request) if signed else b""
        outcome = await decide_async(
            self._verifier, arrived(request.scope, self._client_address(request), body), security_scopes.scopes
        )
        if isinstance(outcome, Answer):
            hidden = ("content-type", "content-length")
            headers = {name: value for name, value in outcome.headers if name.lower() not in hidden}
            raise HTTPException(outcome.status, detail=outcome.code, headers=headers)
        return outcome


async def _body(request: Request) -> bytes:
    """Read the body that a signature covers, no more of it than is checked: whoever sends it is nobody yet."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BODY:
            return body  # it is refused; the rest is never read
    request._body = body  # noqa: SLF001 - where `request.body()` keeps it, for the route to read it again
    return body
