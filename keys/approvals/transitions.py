"""Write the state of a request: the only place that does."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from audit.actor import Actor
from audit.events import Event
from keys.errors import Conflict
from keys.models import KeyRequest
from keys.operations import update
from keys.states import OPEN_REQUEST_STATES, REQUEST_MOVES, RequestState


def move_request(
    request: KeyRequest,
    state: RequestState,
    event: type[Event],
    *,
    actor: Actor,
    at: datetime,
    columns: dict[str, Any] | None = None,
    **facts: Any,
) -> KeyRequest:
    """Move a locked request to `state`; raises Conflict when that move does not exist or somebody else moved first."""
    now = RequestState(request.state)
    if state not in REQUEST_MOVES[now]:
        raise Conflict("request_not_open", state=str(now))
    ended = {} if state in OPEN_REQUEST_STATES else {"decided_at": at}
    return update(
        request,
        event,
        actor=actor,
        at=at,
        expected={"state": str(now), "revision": request.revision},
        columns={"state": str(state), **ended, **(columns or {})},
        environment=request.environment.tag,
        **facts,
    )
