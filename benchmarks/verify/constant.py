"""Answer everything with the same bytes, after reading the body: what the server itself costs."""

from __future__ import annotations

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


def application(
    environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], Any]
) -> Iterable[bytes]:
    """Answer (Any: WSGI's own types)."""
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", HEADERS)
    return [ANSWER]
