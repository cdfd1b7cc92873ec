"""Protect views of Django, synchronous or asynchronous."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from keystead_client.integrations.protection import Answer, AnyVerifier, Arrived, decide, decide_async
from keystead_client.integrations.wsgi import _raw_path
from keystead_client.verdicts import Verdict

View = TypeVar("View", bound=Callable[..., Any])  # Any: a view takes whatever its address names


class Keystead:
    """Decorates views: `@keystead.require("orders:read")`. In the view, `request.keystead` is the verdict."""

    def __init__(
        self, verifier: AnyVerifier, *, client_address: Callable[[HttpRequest], str | None] | None = None
    ) -> None:
        self._verifier, self._client_address = verifier, client_address or _remote_address

    def require(self, *scopes: str) -> Callable[[View], View]:
        """Let a request in with a valid key that has all these scopes. Such a view needs no CSRF token: no browser sends keys."""

        def decorate(view: View) -> View:
            if inspect.iscoroutinefunction(view):

                @functools.wraps(view)
                async def wrapped_async(request: HttpRequest, *args: Any, **named: Any) -> HttpResponse:
                    arrived = arrived_at(request, self._client_address(request))
                    outcome = await decide_async(self._verifier, arrived, scopes)
                    if isinstance(outcome, Answer):
                        return response_of(outcome)
                    request.keystead = outcome  # type: ignore[attr-defined]  # documented above
                    return await cast(Awaitable[HttpResponse], view(request, *args, **named))

                return cast(View, csrf_exempt(wrapped_async))

            @functools.wraps(view)
            def wrapped(request: HttpRequest, *args: Any, **named: Any) -> HttpResponse:
                outcome = decide(self._verifier, arrived_at(request, self._client_address(request)), scopes)
                if isinstance(outcome, Answer):
                    return response_of(outcome)
                request.keystead = outcome  # type: ignore[attr-defined]  # documented above
                return cast(HttpResponse, view(request, *args, **named))

            return cast(View, csrf_exempt(wrapped))

        return decorate


def verdict_of(request: HttpRequest) -> Verdict:
    """Return the verdict of a protected view's request, with its type."""
    verdict = getattr(request, "keystead", None)
    if not isinstance(verdict, Verdict):
        raise LookupError("this view is not protected by @keystead.require")
    return verdict


def _remote_address(request: HttpRequest) -> str | None:
    return request.META.get("REMOTE_ADDR") or None


def arrived_at(request: HttpRequest, address: str | None) -> Arrived:
    """Read a request of Django as a decision needs it."""
    headers = {name.lower(): (value,) for name, value in request.headers.items()}
    signed = "signature-input" in headers
    return Arrived(
        method=request.method or "",
        scheme=request.scheme or "https",
        authority=request.META.get("HTTP_HOST", ""),
        path=_raw_path(request.META),
        query=request.META.get("QUERY_STRING", ""),
        headers=headers,
        address=address,
        body=request.body if signed else b"",
    )


def response_of(answer: Answer) -> HttpResponse:
    """Write a refusal as Django sends it."""
    return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))
