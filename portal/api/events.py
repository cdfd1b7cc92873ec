"""Let auditors read the log; that they read it is on the log."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from audit.events import Outcome
from audit.queries import BadPosition, Position
from keys.errors import NotFound
from keys.reports.log import read_event, search_log
from keys.reports.searches import LogSearch, Subject
from portal.api.catalogue import TAGS
from portal.api.doors import Door, offered
from portal.api.inputs import SUBJECT
from portal.api.outputs import EventOut, page_of
from portal.api.pagination import page_size
from portal.api.parameters import CURSOR, LIMIT, choice, moment, read_uuid, word
from portal.api.problems import BadRequest

READ = ("audit:read",)

EVENTS = (
    CURSOR,
    LIMIT,
    moment("from", "", "From this time on."),
    moment("before", "", "Before this time."),
    word("actor", "Only by this actor: kind and id, as in `person:…`.", pattern=SUBJECT),
    word("target", "Only about this thing, with its parts: as in `key:…`.", pattern=SUBJECT),
    word("action", "Only this action, as in `key.revoked`.", pattern=r"[a-z][a-z.-]{0,79}"),
    choice("environment", "", TAGS, "Only in this environment."),
    choice("outcome", "", Outcome, "Only with this outcome."),
)
EventPage = page_of(EventOut)


class Events(Door):
    """The log."""

    @offered(
        "events_list", gives=EventPage, scopes=READ, yes="administrator auditor program",
        hidden="developer approver responder stranger", reads=EVENTS, tag="log",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Search the log, newest first. The search is recorded."""
        values = self.values
        search = LogSearch(
            start=values.get("from"),
            end=values.get("before"),
            actor=Subject.parse(values.get("actor", "")),
            actions=(values["action"],) if "action" in values else (),
            target=Subject.parse(values.get("target", "")),
            environment=values.get("environment", ""),
            outcome=values.get("outcome", ""),
        )
        try:
            after = Position.parse(values["cursor"]) if "cursor" in values else None
        except BadPosition as error:
            raise BadRequest("invalid_parameter", field="cursor") from error
        page = search_log(search, actor=self.actor, after=after, size=page_size(request))
        shown = EventOut(page.events, many=True, context={"actor": self.actor}).data
        return Response({"results": shown, "next": page.following.text() if page.following else None})


class OneEvent(Door):
    """One event."""

    @offered(
        "events_retrieve", gives=EventOut, scopes=READ, yes="administrator auditor program",
        hidden="developer approver responder stranger", tag="log",
    )  # fmt: skip
    def get(self, request: Request, uid: str) -> Response:
        """Open one event. That it was opened is recorded."""
        try:
            name = read_uuid(uid)
        except ValueError:
            raise NotFound from None
        return self.show(EventOut, read_event(name, actor=self.actor))
