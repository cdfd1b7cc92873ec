"""Ask an HTTP address once, with bounds on time and size, and without following anybody elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from audit.witness.base import WitnessFailed

LONGEST_ANSWER = 64 * 1024
TIMEOUT_SECONDS = 10.0


class _NoRedirect(HTTPRedirectHandler):
    """Take a redirect as an answer: whoever is pinned is asked, and nobody else."""

    def redirect_request(self, *_facts: Any, **_more: Any) -> None:
        """Follow nowhere (Any: the library's signature)."""


_opener = build_opener(_NoRedirect)


def exchange(
    url: str,
    body: bytes | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    longest: int = LONGEST_ANSWER,
    timeout: float = TIMEOUT_SECONDS,
) -> tuple[int, bytes]:
    """Return status and body; raise WitnessFailed("unreachable") when there is no whole answer in time."""
    request = Request(url, data=body, headers=dict(headers or {}))  # noqa: S310 - checked by `address`
    deadline = time.monotonic() + 3 * timeout
    try:
        try:
            answer = _opener.open(request, timeout=timeout)
        except HTTPError as error:
            answer = error
        with answer:
            found = b""
            while chunk := answer.read1(longest + 1 - len(found)):
                found += chunk
                if len(found) > longest or time.monotonic() > deadline:
                    raise WitnessFailed("unreachable", f"{urlsplit(url).hostname} answers too much or too slowly")
            return int(answer.status or 0), found
    except (OSError, HTTPException, ValueError) as error:
        raise WitnessFailed(
            "unreachable", f"{urlsplit(url).hostname} does not answer: {type(error).__name__}"
        ) from error


def address(url: str) -> str:
    """Return an http or https address without its last slash; urllib would open files too."""
    found = urlsplit(url)
    if found.scheme not in ("http", "https") or not found.hostname or found.query or found.fragment:
        raise ValueError(f"{url!r} is no http or https address")
    return url.rstrip("/")
