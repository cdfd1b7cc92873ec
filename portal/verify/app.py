"""Be the data plane as a WSGI application of its own: no sessions, no templates, none of Django's middleware, no ORM on the way.

It shares nothing with the site but the settings and the database. `python -m portal.verify` runs it.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import structlog
from django.core.handlers.wsgi import WSGIRequest

from keys.verification.counting.tallies import Tallies
from keys.verification.memory.feed import Feed
from portal.metrics import is_for_programs
from portal.verify import gauges
from portal.verify.contract import openapi
from portal.verify.database import Database
from portal.verify.forward_auth import forward_auth
from portal.verify.introspection import introspect
from portal.verify.memory import AskTheDatabase, Memory
from portal.verify.problems import LATER, Reply, problem
from portal.verify.questions import ANSWER, Endpoint, verify, verify_batch
from portal.verify.quick.introspection import QuickIntrospection
from portal.verify.quick.ordinary import Quick
from portal.verify.quick.verdicts import QuickVerdicts
from portal.verify.reading import Body, Refused
from portal.verify.signed import PATH as SIGNED
from portal.verify.signed import verify_signature

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ENDPOINTS: Final[Mapping[str, tuple[Endpoint, frozenset[str]]]] = {
    "/v1/verify": (verify, frozenset({"POST"})),
    SIGNED: (verify_signature, frozenset({"POST"})),
    "/v1/verify:batch": (verify_batch, frozenset({"POST"})),
    "/oauth2/introspect": (introspect, frozenset({"POST"})),
    "/v1/forward-auth": (forward_auth, frozenset({"GET", "HEAD", "POST"})),
}
YES: Final = list(ANSWER.items())
ANSWERED_LATER: Final[list[bytes]] = []  # what the application returns when another thread tells the server
_PLAIN: Final = {"Content-Type": "text/plain; charset=utf-8"}
_log = structlog.get_logger("keystead.verification")


class VerifyApplication:
    """The door of one process, over what its feed keeps in memory."""

    def __init__(self, feed: Feed, tallies: Tallies) -> None:
        self.feed = feed
        self.answers: Counter[tuple[str, int]] = Counter()
        self.memory = Memory(feed, tallies)
        self.quick: Mapping[str, Quick] = {
            "/v1/verify": QuickVerdicts(self.memory),
            "/oauth2/introspect": QuickIntrospection(self.memory),
        }
        self.limiter = self.memory.limiter

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        said = self.quickly(environ)
        if isinstance(said, bytes):
            start_response("200 OK", YES)
            return [said]
        return self.carefully(environ, start_response, said)

    def quickly(self, environ: WSGIEnvironment) -> bytes | Body | None:
        """The body of an ordinary answer with 200; or what is to be answered with care: the body of the request, if it was looked at."""
        quick = self.quick.get(environ["PATH_INFO"])
        return None if quick is None else quick.answer(environ)

    def forget(self) -> None:
        """Forget what callers showed; called twice a second by another thread than the one that answers."""
        for quick in self.quick.values():
            quick.forget()

    def carefully(self, environ: WSGIEnvironment, start_response: StartResponse, body: Body | None) -> Iterable[bytes]:
        """Answer whatever has no quick answer."""
        path = environ["PATH_INFO"]
        known = path in ENDPOINTS
        reply = self._answered(path, environ, body or Body(environ)) if known else self._about_itself(path, environ)
        if reply is LATER:
            return ANSWERED_LATER
        self.answers[path if known else "other", reply.status] += 1
        start_response(f"{reply.status} {HTTPStatus(reply.status).phrase}", list(reply.headers.items()))
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else reply.body]

    def _answered(self, path: str, environ: WSGIEnvironment, body: Body) -> Reply:
        """Answer from memory, or from the database where memory is not wanted; a refusal is a problem and never "valid"."""
        endpoint, methods = ENDPOINTS[path]
        shown = "HTTP_AUTHORIZATION" in environ
        try:
            if environ["REQUEST_METHOD"] not in methods:
                raise Refused(405, "method_not_allowed")
            if environ.get("QUERY_STRING"):
                raise Refused(400, "address_not_allowed_here")
            try:
                return endpoint(self.memory, environ, body)
            except AskTheDatabase:
                return endpoint(Database(self.feed.catalogue, self.feed.offset, self.limiter), environ, body)
        except Refused as refused:
            allow = ", ".join(sorted(methods))
            return problem(refused, request_id=uuid.uuid4().hex, knows_how=shown, allow=allow)
        except Exception as error:  # noqa: BLE001 - whoever asks gets an answer that denies, whatever went wrong here
            request_id = uuid.uuid4().hex
            _log.error("verification failed", request_id=request_id, exc_info=error)
            return problem(Refused(503, "unavailable"), request_id=request_id)

    def _about_itself(self, path: str, environ: WSGIEnvironment) -> Reply:
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            if path == "/healthz":
                return Reply(status=200, body=b"alive\n", headers=_PLAIN)
            if path == "/readyz":
                fresh = self.feed.is_fresh
                return Reply(status=200 if fresh else 503, body=b"fresh\n" if fresh else b"stale\n", headers=_PLAIN)
            if path == openapi.PATH:
                return openapi.reply()
            if path == "/metrics" and is_for_programs(WSGIRequest(environ)):
                return gauges.reply(self)
        return problem(Refused(404, "not_found"), request_id=uuid.uuid4().hex)
