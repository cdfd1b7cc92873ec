"""Write structured logs from which only allow-listed facts can get out.

A deny-list forgets the next secret; here a fact that nobody listed is dropped and only its name is kept. Free text is
searched for the shape of our keys as a second net.
"""

import errno
import logging
import sys
import traceback
from collections.abc import Mapping
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from keys.crypto.key_text import SECRET_PATTERN

ALLOWED: Final = frozenset(
    {
        "action",
        "attempt",
        "by",
        "code",
        "count",
        "endpoint",
        "environment",
        "errno",
        "error",
        "event",
        "exit_code",
        "export",
        "frames",
        "job",
        "kind",
        "level",
        "logger",
        "method",
        "milliseconds",
        "note",
        "operation",
        "part",
        "person",
        "pid",
        "port",
        "query_count",
        "receiver",
        "request_id",
        "route",
        "rule",
        "seconds",
        "status",
        "step",
        "subject",
        "target_id",
        "target_type",
        "task",
        "task_id",
        "timestamp",
        "withheld",
    }
)
# Loggers of others whose ordinary sentences are about machinery. From WARNING on, theirs too quote requests and rows.
TRUSTED_SENTENCES: Final = ("celery", "gunicorn.error", "keystead", "django.core.management")
LONGEST: Final = 500
_INTERNAL: Final = frozenset({"_record", "_from_structlog", "exc_info"})


def scrub(text: str) -> str:
    """Return `text` without anything that looks like a key of ours, and not too long."""
    return SECRET_PATTERN.sub("[key withheld]", text)[:LONGEST]


def only_allowed(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Keep the allow-listed facts that are plain values; name the rest in `withheld`."""
    kept: dict[str, Any] = {}
    withheld: list[str] = []
    for name, value in event.items():
        if name in _INTERNAL:
            kept[name] = value
        elif name not in ALLOWED:
            withheld.append(str(name))
        elif isinstance(value, str):
            kept[name] = scrub(value)
        elif value is None or isinstance(value, bool | int | float):
            kept[name] = value
        elif name in {"frames", "withheld"} and isinstance(value, list):
            kept[name] = [scrub(str(part)) for part in value]
        else:
            withheld.append(str(name))
    if withheld:
        kept["withheld"] = sorted(withheld)
    return kept


def describe_error(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Say which error it was and where, without its message: messages quote rows, input and addresses."""
    found = event.pop("exc_info", None)
    record: logging.LogRecord | None = event.get("_record")
    if not found and record is not None:
        found = record.exc_info
    if found is True:
        found = sys.exc_info()
    error = found[1] if isinstance(found, tuple) else found
    if not isinstance(error, BaseException):
        return event
    event["error"] = f"{type(error).__module__}.{type(error).__qualname__}"
    if isinstance(error, OSError) and error.errno:
        # ENOSPC, EACCES: a full disk must not look like any other failure.
        event["errno"] = errno.errorcode.get(error.errno, "")
    code = getattr(error, "code", None)
    if isinstance(code, str):
        event.setdefault("code", code)
    event["frames"] = [
        f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)[-12:]
    ]
    return event


def guard_sentence(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Keep a stranger's message only as its template: the arguments may be anything that a client sent."""
    record: logging.LogRecord | None = event.get("_record")
    if record is None or event.get("_from_structlog"):
        return event
    if record.levelno >= logging.WARNING or not record.name.startswith(TRUSTED_SENTENCES):
        event["event"] = str(record.msg) if record.args else scrub(str(record.msg))
    return event


SHARED: Final[list[Processor]] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configuration(*, production: bool, level: str) -> Mapping[str, Any]:
    """Return Django's LOGGING: everything leaves by one door, one line each, JSON in production."""
    renderer: Processor = (
        structlog.processors.JSONRenderer() if production else structlog.dev.ConsoleRenderer(colors=False)
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": [
                    guard_sentence,
                    describe_error,
                    only_allowed,
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    renderer,
                ],
                "foreign_pre_chain": [*SHARED, structlog.stdlib.ExtraAdder(allow=ALLOWED)],
            },
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {
            "keystead": {"level": level},
            "celery": {"level": "INFO" if production else "WARNING"},
            # These quote the path or the Host; portal/middleware.py logs the same failures by their route.
            "django.request": {"level": "CRITICAL"},
            "django.security": {"level": "CRITICAL"},
            "axes": {"level": "ERROR"},
            "gunicorn.error": {"level": "INFO", "handlers": [], "propagate": True},
        },
    }


def configure_structlog() -> None:
    """Send structlog through the same door as everything else."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
