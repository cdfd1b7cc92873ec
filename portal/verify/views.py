"""Carry the verification door inside the site, and the description of the data plane."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from portal import client_address
from portal.middleware import request_id_of
from portal.verify import openapi
from portal.verify.door import Knock, answer
from portal.verify.reading import Body


@csrf_exempt
def verify(http: HttpRequest) -> HttpResponse:
    """Answer a service. No session is opened: the caller is a program, and its credential comes in the header."""
    meta = http.META
    reply = answer(
        Knock(
            method=http.method or "",
            query=meta.get("QUERY_STRING", ""),
            content_type=meta.get("CONTENT_TYPE", ""),
            content_encoding=meta.get("HTTP_CONTENT_ENCODING", ""),
            authorization=meta.get("HTTP_AUTHORIZATION", ""),
            address=client_address.of_request(http),
            user_agent=meta.get("HTTP_USER_AGENT", ""),
            body=Body(meta).read(),
            request_id=request_id_of(http),
        )
    )
    return HttpResponse(reply.body, status=reply.status, headers=dict(reply.headers))


def described(_http: HttpRequest) -> HttpResponse:
    """Show the OpenAPI document of the data plane to everybody."""
    reply = openapi.reply()
    return HttpResponse(reply.body, status=reply.status, headers=dict(reply.headers))
