"""Carry what rules need to know, read once and handed over: rules never query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from keys.states import EnvironmentClass, RequestState, Role, RotationCause, TeamRole


@dataclass(frozen=True, kw_only=True)
class ActorFacts:
    """Who the actor is now. `seats`: the people in whose place they may decide, with their roles by team."""

    person_id: UUID | None = None
    key_id: UUID | None = None
    active: bool = False
    operator: bool = False
    environment_id: UUID | None = None
    roles: frozenset[Role] = frozenset()
    teams: Mapping[UUID, frozenset[TeamRole]] = field(default_factory=dict)
    seats: Mapping[UUID, Mapping[UUID, frozenset[TeamRole]]] = field(default_factory=dict)
    scopes: frozenset[str] = frozenset()

    def is_in(self, team_id: UUID) -> bool:
        return team_id in self.teams

    def is_lead_of(self, team_id: UUID) -> bool:
        return TeamRole.LEAD in self.teams.get(team_id, frozenset())

    def has(self, *roles: Role) -> bool:
        return not self.roles.isdisjoint(roles)


@dataclass(frozen=True, kw_only=True)
class RequestFacts:
    """What a decision about a request rests on."""

    state: RequestState
    lapses_at: datetime
    digest: str
    requester_id: UUID | None
    requested_by_key_id: UUID | None
    recipient_id: UUID
    editor_id: UUID | None
    behind_program: frozenset[UUID]  # who holds the key of the program that asked
    owner_team_id: UUID
    service_team_id: UUID
    approver_team_id: UUID | None
    environment_class: EnvironmentClass
    holders: frozenset[UUID] = frozenset()  # who holds the key that this request would prolong
    decided_people: frozenset[UUID] = frozenset()
    decided_seats: frozenset[UUID] = frozenset()


@dataclass(frozen=True, kw_only=True)
class KeyFacts:
    """What a decision about a key rests on."""

    owner_team_id: UUID
    service_team_id: UUID
    recipient_id: UUID | None
    environment_id: UUID
    environment_class: EnvironmentClass
    revoked: bool
    suspended_by: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class RotationFacts:
    """What a decision about a rotation rests on."""

    cause: RotationCause
    old_known_to: frozenset[UUID]  # who was shown the secret that is replaced
