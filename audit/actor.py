"""Say who acts, how they proved it, and through which request."""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class ActorKind(StrEnum):
    """The five kinds of beings that can act."""

    PERSON = "person"
    PROGRAM = "program"
    JOB = "job"
    OPERATOR = "operator"
    SYSTEM = "system"


@dataclass(frozen=True, kw_only=True)
class StepUp:
    """One fresh proof of presence, given for one purpose."""

    purpose: str
    method: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Auth:
    """How the actor signed in; `at` is when, `device` names the factor, never its secret."""

    mfa: bool = False
    methods: tuple[str, ...] = ()
    device: str = ""
    at: datetime | None = None
    assurance: str = ""
    step_ups: tuple[StepUp, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RequestFacts:
    """The HTTP request or task behind an act; `ip` and `user_agent` are personal and stay private."""

    id: str = ""
    method: str = ""
    route: str = ""
    task: str = ""
    ip: str = ""
    user_agent: str = ""


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Whoever answers for an act; `session` is a hash, never a session key; `name` stays private."""

    kind: ActorKind
    id: str
    name: str = ""
    session: str = ""
    auth: Auth = field(default_factory=Auth)
    http: RequestFacts = field(default_factory=RequestFacts)
    on_behalf_of: Actor | None = None

    def __post_init__(self) -> None:
        if not self.id:
            # "Nobody" must never pass for "trusted".
            raise ValueError("an actor needs an id")

    @classmethod
    def job(cls, name: str) -> Actor:
        """Name a scheduled job."""
        return cls(kind=ActorKind.JOB, id=name, http=RequestFacts(task=name))

    @classmethod
    def system(cls, name: str) -> Actor:
        """Name a part of Keystead that acts without being asked."""
        return cls(kind=ActorKind.SYSTEM, id=name)

    @classmethod
    def operator(cls, name: str) -> Actor:
        """Name a person at the shell of the server, whom no factor has proved."""
        return cls(kind=ActorKind.OPERATOR, id=name)

    @classmethod
    def at_the_shell(cls) -> Actor:
        """Name whoever runs this command by their login name, or by number: in a container a user need not have a name."""
        try:
            return cls.operator(getpass.getuser())
        except (KeyError, OSError):  # OSError from Python 3.13 on
            return cls.operator(f"uid-{os.getuid()}")
