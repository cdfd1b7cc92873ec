"""Find the address a request came from, believing only as many proxies as the operator named."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from keys.policy.addresses import read_address


def of_request(http: HttpRequest) -> str | None:
    """Return the client's address of a request."""
    return of_environ(http.META)


def of_environ(environ: Mapping[str, Any]) -> str | None:  # Any: WSGI's own mapping holds streams too
    """Return the client's address: the peer's, or the one that the outermost trusted proxy wrote.

    X-Forwarded-For is appended to by each proxy, so with n trusted proxies the n-th entry from the right is the
    last that one of ours wrote; everything left of it is the client's own invention.
    """
    peer = _address(environ.get("REMOTE_ADDR", ""))
    trusted: int = settings.KEYSTEAD_TRUSTED_PROXIES
    if trusted < 1:
        return peer
    written: str | None = environ.get("HTTP_X_FORWARDED_FOR")
    if written is not None and not written.strip():
        return None  # so granian shows one with other bytes than ASCII: the client's own, and what ours wrote behind them is lost
    hops = [part.strip() for part in (written or "").split(",")]
    return _address(hops[-trusted]) if len(hops) >= trusted else peer


def _address(text: str) -> str | None:
    try:
        return str(read_address(text))
    except ValueError:
        return None  # a unix socket's peer has none, and one with a zone is none to anybody else
