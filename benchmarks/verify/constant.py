"""Answer everybody, or whoever is known, with the same bytes after reading the body: what the server itself costs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from typing import Any

ANSWER = (
    b'{"valid":true,"kid":"PchUrdi9yX2NQf","key":"KEY-1002","name":"Nightly report","consumer":"report-builder",'
    b'"expires_at":"2026-12-22T08:50:05.263Z","service":"orders","environment":"prod","scopes":["orders:read"],'
    b'"owner_team":"reporting","verified_at":"2026-11-22T08:58:00.063Z"}'
)
HEADERS = [
    ("Content-Type", "application/json"),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
]
CALLER = "BENCHMARK_CALLER"  # the digest of the one credential that is known
_KNOWN = frozenset({os.environ.get(CALLER)})


def digest_of(credential: str) -> str:
    """Return what a credential is known by."""
    return hashlib.sha256(credential.encode()).hexdigest()


def application(
    environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], Any]
) -> Iterable[bytes]:
    """Answer (Any: WSGI's own types)."""
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", HEADERS)
    return [ANSWER]


def to_a_known_caller(
    environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], Any]
) -> Iterable[bytes]:
    """Answer whoever shows the credential, as every verification asks first."""
    scheme, _, credential = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme != "Bearer" or digest_of(credential) not in _KNOWN:
        start_response("401 Unauthorized", [])
        return []
    return application(environ, start_response)
