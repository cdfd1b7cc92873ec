"""Hand out receipts of the decisions about a request: a proof to keep, and the event as it was hashed."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse

from audit.actor import Actor
from keys.reports.receipts import Receipt, take_receipt
from portal.web.doors import page
from portal.web.finding import request_by_number


@page
def receipt(http: HttpRequest, actor: Actor, number: int, uid: UUID) -> HttpResponse:
    """Hand out the proof; it carries the event, so this one file is enough."""
    taken = take_receipt(request_by_number(number, actor=actor), uid=uid, actor=actor)
    return _file(taken.proof.encode(), number, taken, "tlog-proof", "text/plain; charset=utf-8")


@page
def receipt_entry(http: HttpRequest, actor: Actor, number: int, uid: UUID) -> HttpResponse:
    """Hand out the event, byte by byte as it was hashed, without its private part."""
    taken = take_receipt(request_by_number(number, actor=actor), uid=uid, actor=actor)
    return _file(taken.entry, number, taken, "json", "application/json")


def _file(body: bytes, number: int, taken: Receipt, ending: str, content_type: str) -> HttpResponse:
    answer = HttpResponse(body, content_type=content_type)
    name = f"REQ-{number}-{taken.event.action}-{taken.event.uid.hex[-8:]}.{ending}"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer
