"""Answer everybody with the same bytes, carried as the door carries its own: beside it, only the verdict is left."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from granian.server import mp as granian

from benchmarks.verify.constant import ANSWER, HEADERS, application
from portal.verify.serving.precedence import answers_before_bytes

__all__ = ["application"]  # which granian loads; what it calls for each request is below


def _carried(_application: object, *_: object) -> Callable[[Any, dict[str, Any]], None]:
    waits = False

    def answer(connection: Any, environ: dict[str, Any]) -> None:  # Any: granian's own, not in its types
        nonlocal waits
        waits = waits or answers_before_bytes()
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        connection.response_bytes(200, HEADERS, ANSWER)

    return answer


sys.setswitchinterval(0.001)
granian._wsgi_call_wrap = _carried  # type: ignore[assignment,attr-defined]  # noqa: SLF001 - as portal/verify/wsgi.py
