"""List what can happen to requests and to the decisions about them."""

from __future__ import annotations

from audit.events import Event, Severity, private

REQUEST = frozenset(
    "id created_at number state requester_id requested_by_key_id recipient_id last_editor_id "
    "owner_team_id service_id environment_id policy_id renews_id content digest revision purpose "
    "purpose_salt question lapses_at decided_at".split()
)
APPROVAL = frozenset(
    "id created_at request_id person_id seat_id decision digest on_service_side comment method statement "
    "assertion voided_at".split()
)


class AccessDenied(Event):
    """The policy refused an act; nothing changed."""

    action = "access.denied"
    target_type = "access"
    severity = Severity.MEDIUM
    operation: str
    subject: str
    rule: str


class InvariantsBroken(Event):
    """The nightly check found rows that break an invariant of the design."""

    action = "invariants.broken"
    target_type = "invariants"
    severity = Severity.CRITICAL
    invariants: tuple[str, ...]
    rows: int


class RequestSubmitted(Event):
    """A key was asked for."""

    action = "request.submitted"
    target_type = "request"
    change_fields = REQUEST


class RequestEdited(Event):
    """A request was edited; its approvals are void."""

    action = "request.edited"
    target_type = "request"
    change_fields = REQUEST


class RequestNarrowed(Event):
    """An approver narrowed a request; earlier approvals are void."""

    action = "request.narrowed"
    target_type = "request"
    change_fields = REQUEST


class RequestReturned(Event):
    """An approver asked back."""

    action = "request.returned"
    target_type = "request"
    change_fields = REQUEST


class RequestWithdrawn(Event):
    """The requester took a request back."""

    action = "request.withdrawn"
    target_type = "request"
    change_fields = REQUEST
    comment: str = private(default="")


class RequestNudged(Event):
    """The requester reminded the approvers."""

    action = "request.nudged"
    target_type = "request"
    change_fields = REQUEST


class RequestApproved(Event):
    """Enough approvers agreed; the key exists."""

    action = "request.approved"
    target_type = "request"
    severity = Severity.LOW
    change_fields = REQUEST


class RequestDenied(Event):
    """An approver refused a request."""

    action = "request.denied"
    target_type = "request"
    severity = Severity.LOW
    change_fields = REQUEST


class RequestLapsed(Event):
    """Nobody decided in time."""

    action = "request.lapsed"
    target_type = "request"
    change_fields = REQUEST


class ApprovalGiven(Event):
    """A person decided about exactly this content."""

    action = "approval.given"
    target_type = "approval"
    severity = Severity.LOW
    change_fields = APPROVAL
    delegated: bool = False


class ApprovalVoided(Event):
    """A decision no longer counts: the content changed, or its delegation or role ended and another took its place."""

    action = "approval.voided"
    target_type = "approval"
    change_fields = APPROVAL


class ReceiptTaken(Event):
    """Somebody took a receipt that proves a decision; they hold a head of the log from now on."""

    action = "request.receipt-taken"
    target_type = "request"
    event: str
    size: int
