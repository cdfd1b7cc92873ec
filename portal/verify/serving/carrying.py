"""Carry requests from granian to the application, and answers back: at once, or when another thread has one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

from portal.verify.app import ANSWERED_LATER, YES, VerifyApplication
from portal.verify.problems import RESPOND

# Of PEP 3333; what else stands in the environment of this process is no request's.
_ALWAYS: Final[dict[str, Any]] = {
    "SCRIPT_NAME": "",
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": False,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}


class _Begun:
    """What the application says before the body."""

    __slots__ = ("headers", "status")

    def __call__(self, status: str, headers: list[tuple[str, str]]) -> None:
        self.status = int(status[:3])
        self.headers = headers


def carried(application: VerifyApplication, *_: object) -> Callable[[Any, dict[str, Any]], None]:
    """What granian calls for each request; in place of its own, which ends an answer when the application returns."""

    quickly = application.quickly

    def answer(connection: Any, scope: dict[str, Any]) -> None:  # Any: granian's own, not in its types
        respond = connection.response_bytes
        quick = quickly(scope)
        if isinstance(quick, bytes):
            respond(200, YES, quick)
            return
        begun = _Begun()
        scope |= _ALWAYS
        scope[RESPOND] = respond
        said = application.carefully(scope, begun, quick)  # type: ignore[arg-type]  # without exc_info, which nobody here uses
        if said is not ANSWERED_LATER:
            respond(begun.status, begun.headers, b"".join(said))

    return answer
