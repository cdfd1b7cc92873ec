"""Say what went wrong in a code that programs keep and words that people can act on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, ParamSpec, TypeVar

from audit.events import Event

P = ParamSpec("P")
T = TypeVar("T")


class KeysError(Exception):
    """A refusal the caller can act on. `code` is stable; `status` is the HTTP status a door answers with (RFC 9110)."""

    status: ClassVar[int] = 400
    retry_after: int | None = None  # seconds; where the same call may succeed later

    def __init__(self, code: str, /, **params: object) -> None:
        super().__init__(code)
        self.code = code
        self.params = params


class Denied(KeysError):
    """The policy said no. `hidden` when the actor may not even know that the thing exists.

    `alarm`: what was found out about it and is told to others, so that it outlives the rollback as the denial itself does.
    """

    status = 403
    alarm: Event | None = None

    def __init__(self, code: str, /, *, rule: str, hidden: bool = False, **params: object) -> None:
        super().__init__(code, **params)
        self.rule = rule
        self.hidden = hidden


class NotFound(KeysError):
    """What is asked for does not exist, or the actor may not see it: the same answer."""

    status = 404

    def __init__(self) -> None:
        super().__init__("not_found")


class Invalid(KeysError):
    """The input breaks rules; `fields` maps each field to a code and its parameters."""

    status = 422

    def __init__(self, fields: Mapping[str, tuple[str, Mapping[str, object]]]) -> None:
        super().__init__("invalid_input")
        self.fields = dict(fields)

    @classmethod
    def field(cls, name: str, code: str, /, **params: object) -> Invalid:
        return cls({name: (code, params)})


class Told:
    """What is wrong with an input, to be told together: of each field the first reason."""

    def __init__(self) -> None:
        self.wrong: dict[str, tuple[str, Mapping[str, object]]] = {}

    def add(self, wrong: Mapping[str, tuple[str, Mapping[str, object]]]) -> None:
        self.wrong = {**wrong, **self.wrong}

    def read(self, instead: T, reading: Callable[P, T], /, *arguments: P.args, **named: P.kwargs) -> T:
        """Read one part; of what cannot be read take `instead`, by which no other part may look wrong."""
        try:
            return reading(*arguments, **named)
        except Invalid as invalid:
            self.add(invalid.fields)
            return instead


class Conflict(KeysError):
    """The thing is not, or no longer, in a state that allows the act."""

    status = 409


class Gone(KeysError):
    """The thing could be had once, and was."""

    status = 410


class TooMany(KeysError):
    """There are as many of these as there may be; some will be over in a while."""

    status = 429
    retry_after = 60


class Unavailable(KeysError):
    """Something that an act may not do without is out of order; nothing has changed."""

    status = 503
    retry_after = 10


class Busy(KeysError):
    """Another writer holds the row too long; the same call may succeed in a moment."""

    status = 503
    retry_after = 1

    def __init__(self) -> None:
        super().__init__("busy_retry")
