"""Define what an audit event is, keep the catalogue of all of them, and list the audit floor's own.

A floor declares its events as subclasses, without a decorator:

    class KeyRevoked(Event):
        '''Every version of a key was ended, now.'''

        action = "key.revoked"
        target_type = "key"
        severity = Severity.MEDIUM
        change_fields = frozenset({"state", "revoked_at"})
        needs_reason = True

        versions: int                      # a typed fact: goes to payload "details"
        comment: str = private(default="") # personal or free text: goes to the private part
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from types import MappingProxyType
from typing import Any, ClassVar, dataclass_transform

_ACTION = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*(\.[a-z][a-z0-9]*(-[a-z0-9]+)*)+")
_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
_PRIVATE = "private"


class EventError(ValueError):
    """An event contradicts the catalogue."""


class Outcome(StrEnum):
    """How an act ended; an intent has not ended yet."""

    SUCCESS = "success"
    FAILURE = "failure"
    DENIED = "denied"
    ERROR = "error"
    INTENT = "intent"


class Severity(StrEnum):
    """How much a responder should care, in the words of OCSF."""

    INFORMATIONAL = "informational"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


@dataclass(frozen=True, kw_only=True)
class PolicyRef:
    """The rule, and the version of the policy, that let an act happen or stopped it."""

    rule: str
    version: str = ""


def private(*, default: Any = MISSING, default_factory: Callable[[], Any] | Any = MISSING) -> Any:
    """Declare an event field whose value goes to the erasable private part (Any: the caller's annotation rules)."""
    if default_factory is not MISSING:
        return field(default_factory=default_factory, metadata={_PRIVATE: True})
    return field(default=default, metadata={_PRIVATE: True})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field, private))
@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing that happened to one target; subclasses say what, and their own fields are its typed facts."""

    action: ClassVar[str] = ""
    target_type: ClassVar[str] = ""
    severity: ClassVar[Severity] = Severity.INFORMATIONAL
    ocsf_class: ClassVar[str] = "API Activity"
    change_fields: ClassVar[frozenset[str]] = frozenset()
    needs_reason: ClassVar[bool] = False
    needs_mfa: ClassVar[bool] = False

    detail_fields: ClassVar[tuple[str, ...]] = ()
    private_fields: ClassVar[tuple[str, ...]] = ()

    target_id: str
    target_version: str = ""
    environment: str = ""
    outcome: Outcome = Outcome.SUCCESS
    reason: str = ""
    change: Mapping[str, tuple[object, object]] = field(default_factory=dict)
    correlation: str = ""
    approvals: tuple[str, ...] = ()
    policy: PolicyRef | None = None

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Turn the subclass into a frozen dataclass and enter it in the catalogue."""
        super().__init_subclass__(**kwargs)
        dataclass(frozen=True, kw_only=True)(cls)
        _enter(cls)

    def __post_init__(self) -> None:
        if catalogued(self.action) is not type(self):
            raise EventError(f"{type(self).__name__} is not in the catalogue")
        if not self.target_id or not isinstance(self.target_id, str):
            raise EventError(f"{self.action} needs the id of its target, as text")
        if self.change and not self.change.keys() <= self.change_fields:
            unknown = ", ".join(sorted(self.change.keys() - self.change_fields))
            raise EventError(f"{self.action} may not change {unknown}")
        if self.needs_reason and not self.reason:
            raise EventError(f"{self.action} needs a reason")


_COMMON = frozenset(each.name for each in fields(Event))
_catalogue: dict[str, type[Event]] = {}


def catalogue() -> Mapping[str, type[Event]]:
    """Return every event that may be recorded, by action."""
    return MappingProxyType(_catalogue)


def catalogued(action: str) -> type[Event] | None:
    """Return the event of `action`, or None when there is none."""
    return _catalogue.get(action)


def _enter(cls: type[Event]) -> None:
    if not _ACTION.fullmatch(cls.action):
        raise EventError(f"{cls.__name__}: {cls.action!r} is no subject.past-participle in kebab case")
    if not _NAME.fullmatch(cls.target_type):
        raise EventError(f"{cls.__name__}: {cls.target_type!r} is no target type")
    if not (cls.__doc__ or "").strip() or (cls.__doc__ or "").startswith(f"{cls.__name__}("):
        raise EventError(f"{cls.__name__} needs a docstring: docs/events.md prints it")
    holder = _catalogue.get(cls.action)
    if holder is not None:
        raise EventError(f"{cls.action} already belongs to {holder.__name__}; a name is never reused")
    own = [each for each in fields(cls) if each.name not in _COMMON]
    cls.private_fields = tuple(each.name for each in own if each.metadata.get(_PRIVATE))
    cls.detail_fields = tuple(each.name for each in own if not each.metadata.get(_PRIVATE))
    _catalogue[cls.action] = cls


class LogRead(Event):
    """Somebody searched or opened the audit log; reading it is on record too."""

    action = "audit.log-read"
    target_type = "audit-log"
    ocsf_class = "Datastore Activity"

    searched: Mapping[str, str] = field(default_factory=dict)
    shown: int = 0


class LogExported(Event):
    """Events left the audit log as a file; the hash ties the file to this entry."""

    action = "audit.log-exported"
    target_type = "audit-log"
    severity = Severity.LOW
    ocsf_class = "Datastore Activity"

    form: str
    searched: Mapping[str, str] = field(default_factory=dict)
    rows: int
    size: int
    sha256: str
    export: str = ""
    file_sha256: str = ""
    with_private: bool = False


class ExportRequested(Event):
    """Somebody asked for a file from the log that a worker makes, with or without private parts."""

    action = "audit.export-requested"
    target_type = "export"
    severity = Severity.LOW
    ocsf_class = "Datastore Activity"

    form: str
    searched: Mapping[str, str] = field(default_factory=dict)
    with_private: bool = False


class ExportFailed(Event):
    """A worker could not make the file that was asked for; the reason says why, and nothing left the log."""

    action = "audit.export-failed"
    target_type = "export"
    severity = Severity.LOW
    ocsf_class = "Datastore Activity"
    needs_reason = True

    attempts: int


class ExportCancelled(Event):
    """Somebody took back what a worker was to make or was making; no file is left of it."""

    action = "audit.export-cancelled"
    target_type = "export"
    severity = Severity.LOW
    ocsf_class = "Datastore Activity"

    was: str


class ExportDownloaded(Event):
    """Somebody took a finished file from the log away."""

    action = "audit.export-downloaded"
    target_type = "export"
    severity = Severity.LOW
    ocsf_class = "Datastore Activity"

    size: int
    sha256: str
    with_private: bool = False


class ExportExpired(Event):
    """The file of an export was deleted when its time was over; what was asked for stays on record."""

    action = "audit.export-expired"
    target_type = "export"
    ocsf_class = "Datastore Activity"

    sha256: str


class SecretAttempted(Event):
    """An event was refused because its bytes looked like a secret; the reason says which kind, never the text."""

    action = "audit.secret-blocked"
    target_type = "audit-log"
    severity = Severity.HIGH
    ocsf_class = "Detection Finding"
    needs_reason = True

    refused_action: str = ""
    refused_target_type: str = ""


class HeartbeatRecorded(Event):
    """The sealer was at work; between two heartbeats lie ten minutes, so that silence is evidence."""

    action = "audit.heartbeat-recorded"
    target_type = "audit-log"
    ocsf_class = "Application Lifecycle"

    size: int
    root: str
    started: bool = False


class QueueDistrusted(Event):
    """The queue to the sealer held what no honest queue holds: events that vanished, or that were sealed before."""

    action = "audit.queue-distrusted"
    target_type = "audit-log"
    severity = Severity.CRITICAL
    ocsf_class = "Detection Finding"
    needs_reason = True

    events: tuple[int, ...]


class InspectionAsked(Event):
    """Somebody asked that the whole log be hashed again and compared."""

    action = "audit.inspection-asked"
    target_type = "audit-log"
    ocsf_class = "Application Lifecycle"


class LogHeld(Event):
    """The whole log was hashed again, and nothing in it was changed, removed or added."""

    action = "audit.log-held"
    target_type = "audit-log"
    ocsf_class = "Application Lifecycle"

    size: int
    root: str


class LogDistrusted(Event):
    """The whole log was hashed again, and it is not the one that was sealed."""

    action = "audit.log-distrusted"
    target_type = "audit-log"
    severity = Severity.CRITICAL
    ocsf_class = "Detection Finding"

    size: int
    findings: tuple[str, ...]
    first_bad_index: int = -1


class WitnessContradicted(Event):
    """A witness remembers another log than ours: it was set back or rewritten, or somebody else signs with its key."""

    action = "audit.witness-contradicted"
    target_type = "audit-log"
    severity = Severity.CRITICAL
    ocsf_class = "Detection Finding"
    needs_reason = True

    witness: str


class LogKeyAnnounced(Event):
    """The sealer has a new signing key; the statement names both keys and is signed by both."""

    action = "log.key-announced"
    target_type = "audit-log"
    severity = Severity.HIGH
    ocsf_class = "Application Lifecycle"

    statement: str


class LogKeyRetired(Event):
    """The older signing key signs nothing that comes after this; the statement is signed by both keys."""

    action = "log.key-retired"
    target_type = "audit-log"
    severity = Severity.HIGH
    ocsf_class = "Application Lifecycle"

    statement: str


class LogRestored(Event):
    """An older database took lost events up again from the tiles, or a new log began where an old one was frozen.

    The sealer's signed statement says which. Private parts of the leaves from `from_leaf` and before `upto_leaf` are lost.
    """

    action = "log.restored"
    target_type = "audit-log"
    severity = Severity.CRITICAL
    ocsf_class = "Application Lifecycle"
    needs_reason = True

    statement: str
    from_leaf: int
    upto_leaf: int
    lost_private_parts: int = 0


class LogFollowed(Event):
    """The governed rows were brought to what the restored log says; keys verify again."""

    action = "log.followed"
    target_type = "audit-log"
    severity = Severity.HIGH
    ocsf_class = "Application Lifecycle"
    needs_reason = True

    from_leaf: int
    upto_leaf: int
    rows: int = 0
    ended: int = 0
    left: tuple[str, ...] = ()
    comment: str = private(default="")
