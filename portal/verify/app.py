"""Run the verification door as a WSGI application of its own: `granian portal.verify.app:application`, or gunicorn.

It shares nothing with the site but the settings and the database: no sessions, no templates, none of Django's middleware.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import django
from django.core.handlers.wsgi import WSGIRequest
from django.db import close_old_connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
django.setup()

from portal import client_address  # noqa: E402 - models may be imported only after the setup above
from portal.checks import refuse_unsafe_production  # noqa: E402 - as above
from portal.verify.door import Knock, Reply, answer, readable  # noqa: E402 - as above

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

refuse_unsafe_production()


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer /v1/verify and /healthz; nothing else exists here."""
    request_id = uuid.uuid4().hex
    close_old_connections()
    try:
        reply = _route(environ, request_id)
    finally:
        close_old_connections()
    headers = [*reply.headers.items(), ("Content-Length", str(len(reply.body))), ("X-Request-ID", request_id)]
    start_response(f"{reply.status} {HTTPStatus(reply.status).phrase}", headers)
    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else reply.body]


def _route(environ: WSGIEnvironment, request_id: str) -> Reply:
    path = environ.get("PATH_INFO", "")
    if path == "/healthz":
        return Reply(status=200, body=b"alive\n", headers={"Content-Type": "text/plain"})
    if path != "/v1/verify":
        return Reply(status=404, body=b"", headers={"Content-Type": "text/plain"})
    return answer(_knock(environ, request_id))


def _knock(environ: dict[str, Any], request_id: str) -> Knock:
    return Knock(
        method=environ["REQUEST_METHOD"],
        query=environ.get("QUERY_STRING", ""),
        content_type=environ.get("CONTENT_TYPE", ""),
        content_encoding=environ.get("HTTP_CONTENT_ENCODING", ""),
        authorization=environ.get("HTTP_AUTHORIZATION", ""),
        address=client_address.of_request(WSGIRequest(environ)),
        user_agent=environ.get("HTTP_USER_AGENT", ""),
        body=environ["wsgi.input"].read(readable(environ.get("CONTENT_LENGTH") or "0")),
        request_id=request_id,
    )
