"""Give auditors what they need to verify without Keystead: the proof of an event, its bytes, the verifier and the key."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from audit.actor import Actor
from audit.checkpoints import backlog, latest_checkpoint
from audit.notes import NoteError, Verifier
from audit.pins import log_keys
from keys.errors import NotFound
from keys.reports.log import enter_log
from keys.reports.proofs import read_entry, read_proof
from portal.web.doors import page

VERIFIER = Path(settings.BASE_DIR) / "audit" / "verify.py"


@page
def event_proof(http: HttpRequest, actor: Actor, uid: UUID) -> HttpResponse:
    """Hand out the proof of one event (C2SP tlog-proof)."""
    return _file(read_proof(uid, actor=actor).proof.text().encode(), f"{uid}.tlog-proof", "text/plain; charset=utf-8")


@page
def event_entry(http: HttpRequest, actor: Actor, uid: UUID) -> HttpResponse:
    """Hand out the bytes of one event, as they were hashed."""
    return _file(read_entry(uid, actor=actor), f"{uid}.json", "application/json")


@page
def verify(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Explain how to verify the log on a machine of one's own."""
    enter_log(actor=actor)
    context = {"keys": _keys(), "head": latest_checkpoint(), "backlog": backlog()}
    return render(http, "web/audit/verify.html", context)


@page
def verifier(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Hand out verify.py, the file that this site itself has."""
    enter_log(actor=actor)
    return _file(VERIFIER.read_bytes(), "verify.py", "text/x-python; charset=utf-8")


@page
def log_key(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Hand out the public key, to be compared with the one that was pinned."""
    enter_log(actor=actor)
    keys = _keys()
    if not keys:
        raise NotFound
    return _file("".join(f"{key.text()}\n" for key in keys).encode(), "log.vkey", "text/plain; charset=utf-8")


@page
def checkpoint(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Hand out the newest checkpoint: whoever keeps it can show later that the log was cut or changed."""
    enter_log(actor=actor)
    head = latest_checkpoint()
    if head is None:
        raise NotFound
    return _file(head.note.encode(), f"checkpoint-{head.size}.note", "text/plain; charset=utf-8")


def _keys() -> list[Verifier]:
    """The keys this site knows; none when the sealer keeps its folder to itself and nobody named them."""
    try:
        return log_keys()
    except (OSError, NoteError):
        return []


def _file(content: bytes, name: str, content_type: str) -> HttpResponse:
    answer = HttpResponse(content, content_type=content_type)
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    answer["X-Content-Type-Options"] = "nosniff"
    return answer
