"""Carry the verification door inside the site, and the description of the data plane."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from gunicorn.http.errors import ParseException

from portal import client_address
from portal.middleware import request_id_of
from portal.verify.contract import openapi
from portal.verify.door import Knock, answer
from portal.verify.problems import Reply, problem
from portal.verify.reading import Body, Refused


@csrf_exempt
def verify(http: HttpRequest) -> HttpResponse:
    """Answer a service. No session is opened: the caller is a program, and its credential comes in the header."""
    reply = _reply(http)
    return HttpResponse(reply.body, status=reply.status, headers=dict(reply.headers))


def _reply(http: HttpRequest) -> Reply:
    meta = http.META
    authorization = meta.get("HTTP_AUTHORIZATION", "")
    try:
        body = Body(meta).read()
    except (OSError, ParseException):  # it broke off, or its chunks are none: gunicorn sees that only now
        broken = Refused(400, "malformed_json")
        return problem(broken, request_id=request_id_of(http), knows_how=bool(authorization))
    return answer(
        Knock(
            method=http.method or "",
            query=meta.get("QUERY_STRING", ""),
            content_type=meta.get("CONTENT_TYPE", ""),
            content_encoding=meta.get("HTTP_CONTENT_ENCODING", ""),
            authorization=authorization,
            address=client_address.of_request(http),
            user_agent=meta.get("HTTP_USER_AGENT", ""),
            body=body,
            request_id=request_id_of(http),
        )
    )


@csrf_exempt  # nothing changes here, and whoever tries is told that, not of a missing token
@require_safe
def described(_http: HttpRequest) -> HttpResponse:
    """Show the OpenAPI document of the data plane to everybody."""
    reply = openapi.reply()
    return HttpResponse(reply.body, status=reply.status, headers=dict(reply.headers))
