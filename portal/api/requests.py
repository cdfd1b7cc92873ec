"""Ask for keys, follow the wish, decide about it."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from keys.approvals.decisions import Narrowing, approve_request, deny_request, narrow_request, return_request
from keys.approvals.drafting import Draft
from keys.approvals.submission import edit_request, nudge_request, submit_request, withdraw_request
from keys.models import KeyRequest
from keys.states import RequestState
from portal.api.catalogue import TAGS
from portal.api.doors import Door, found, offered
from portal.api.fields import Nothing
from portal.api.inputs import ApprovalBody, CommentBody, DenialBody, DraftBody, NarrowingBody, QuestionBody
from portal.api.outputs import RequestDetailOut, RequestOut, page_of
from portal.api.parameters import PAGING, choice, identifier, moment, public_name, slug

READ = ("requests:read", "requests:write")
WRITE = ("requests:write",)
REQUESTS = (
    *PAGING,
    choice("state", "state", RequestState, "Only in this state."),
    slug("service", "service__slug", "Only for this service."),
    choice("environment", "environment__tag", TAGS, "Only for this environment."),
    slug("owner_team", "owner_team__slug", "Only for this team."),
    public_name("number", "number", "Only the request with this number.", pattern="REQ-([1-9][0-9]{0,11})"),
    identifier("requester", "requester_id", "Only of this person."),
    moment("created_from", "created_at__gte", "From this time on."),
    moment("created_before", "created_at__lt", "Before this time."),
)
RequestPage = page_of(RequestOut)
SEEN_BY = "developer approver administrator responder auditor program"


class RequestDoor(Door):
    """Find a request among those that the actor may see."""

    def row(self, text: str) -> Any:  # Any: see `found`
        """Return the request with everything its answer tells."""
        rows = KeyRequest.objects.visible_to(self.actor).select_related(
            "requester", "recipient", "owner_team", "service", "environment", "policy"
        )
        return found(rows, text)

    def draft(self) -> Draft:
        """Read the body as a wish."""
        body = self.read(DraftBody)
        texts = {name: tuple(body[name]) for name in ("scopes", "networks")}
        plan = body.pop("rotation")
        return Draft(**{**body, **texts, **plan, "limits": dict(body["limits"])})


def shown(door: Door, row: KeyRequest, *, status: int = 200) -> Response:
    """Answer with the request as it is now."""
    rows = KeyRequest.objects.visible_to(door.actor).select_related(
        "requester", "recipient", "owner_team", "service", "environment"
    )
    fresh = rows.prefetch_related("approvals__person", "approvals__seat", "keys").get(pk=row.pk)
    return door.show(RequestDetailOut, fresh, status=status)


class Requests(RequestDoor):
    """All requests."""

    @offered("requests_list", gives=RequestPage, scopes=READ, yes=f"{SEEN_BY} stranger", reads=REQUESTS, tag="requests")
    def get(self, request: Request) -> Response:
        """List the requests that you may see."""
        rows = KeyRequest.objects.visible_to(self.actor).select_related(
            "requester", "recipient", "owner_team", "service", "environment"
        )
        return self.page(RequestOut, rows, REQUESTS)

    @offered(
        "requests_create", takes=DraftBody, gives=RequestDetailOut, status=201, scopes=WRITE, yes="developer program",
        invalid="approver administrator responder auditor stranger", tag="requests",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Ask for a key for a team of yours. Where the policy asks for no approval, the key exists when this answers."""
        return shown(self, submit_request(self.draft(), actor=self.actor), status=201)


class OneRequest(RequestDoor):
    """One request."""

    @offered("requests_retrieve", gives=RequestDetailOut, scopes=READ, yes=SEEN_BY, hidden="stranger", tag="requests")
    def get(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Show a request with the decisions about it."""
        return shown(self, self.row(id))

    @offered(
        "requests_edit", takes=DraftBody, gives=RequestDetailOut, scopes=WRITE, yes="developer", hidden="stranger",
        tag="requests",
    )  # fmt: skip
    def put(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Replace the content of your own open request: a new digest, and the approvals so far are void."""
        row = self.row(id)
        return shown(self, edit_request(row, self.draft(), actor=self.actor))


class Withdrawal(RequestDoor):
    """Take back."""

    @offered(
        "requests_withdraw", takes=CommentBody, gives=RequestDetailOut, scopes=WRITE, yes="developer",
        hidden="stranger", tag="requests",
    )  # fmt: skip
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Take your own open request back."""
        row, body = self.row(id), self.read(CommentBody)
        return shown(self, withdraw_request(row, actor=self.actor, comment=body["comment"]))


class Nudge(RequestDoor):
    """Remind."""

    @offered(
        "requests_nudge", takes=Nothing, gives=RequestDetailOut, scopes=WRITE, yes="developer", hidden="stranger",
        tag="requests",
    )  # fmt: skip
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Remind the approvers of your request, at most twice a day."""
        row = self.row(id)
        self.read(Nothing)
        return shown(self, nudge_request(row, actor=self.actor))


class Approval(RequestDoor):
    """Agree."""

    @offered(
        "requests_approve", takes=ApprovalBody, gives=RequestDetailOut, yes="approver", hidden="stranger",
        tag="requests",
    )  # fmt: skip
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Agree to exactly the content with `digest`. People only, with a step-up for `approve`."""
        row, body = self.row(id), self.read(ApprovalBody)
        return shown(self, approve_request(row, digest=body["digest"], actor=self.actor, comment=body["comment"]))


class Narrowed(RequestDoor):
    """Agree to less."""

    @offered(
        "requests_narrow", takes=NarrowingBody, gives=RequestDetailOut, yes="approver", hidden="stranger",
        tag="requests",
    )  # fmt: skip
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Agree to less than was asked; `digest` is that of the content before. People only, with a step-up."""
        row, body = self.row(id), self.read(NarrowingBody)
        narrowing = Narrowing(
            scopes=tuple(body["scopes"]) if "scopes" in body else None,
            networks=tuple(body["networks"]) if "networks" in body else None,
            cryptoperiod_days=body.get("cryptoperiod_days"),
            authorised_days=body.get("authorised_days"),
            self_fetch=body.get("self_fetch"),
        )
        decided = narrow_request(row, narrowing, digest=body["digest"], actor=self.actor, comment=body["comment"])
        return shown(self, decided)


class Return(RequestDoor):
    """Ask back."""

    @offered(
        "requests_return", takes=QuestionBody, gives=RequestDetailOut, yes="approver", hidden="stranger",
        tag="requests",
    )  # fmt: skip
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Ask the requester something first. People only, with a step-up for `approve`."""
        row, body = self.row(id), self.read(QuestionBody)
        return shown(self, return_request(row, digest=body["digest"], question=body["question"], actor=self.actor))


class Denial(RequestDoor):
    """Refuse."""

    @offered(
        "requests_deny", takes=DenialBody, gives=RequestDetailOut, yes="approver", hidden="stranger", tag="requests"
    )
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Refuse a request, with a reason that the requester reads. People only, with a step-up for `approve`."""
        row, body = self.row(id), self.read(DenialBody)
        return shown(self, deny_request(row, digest=body["digest"], comment=body["comment"], actor=self.actor))
