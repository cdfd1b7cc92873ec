"""Say what a request would add: to what its team already holds, to the template, and in risk."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from keys.approvals.content import Content
from keys.models import KeyRequest, KeyTemplate, ManagedKey, Scope
from keys.states import Access, EnvironmentClass, Risk

LONG = timedelta(days=90).days
_RISK_WEIGHT: Mapping[str, int] = {Risk.LOW: 1, Risk.MEDIUM: 2, Risk.HIGH: 4, Risk.CRITICAL: 8}
_PLACE_WEIGHT: Mapping[str, int] = {
    EnvironmentClass.DEVELOPMENT: 1,
    EnvironmentClass.TEST: 2,
    EnvironmentClass.PRODUCTION: 10,
}


@dataclass(frozen=True, kw_only=True)
class Power:
    """What one key, or several together, may do. No networks means from anywhere."""

    scopes: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    cryptoperiod_days: int | None = None
    authorised_days: int | None = None
    keys: tuple[str, ...] = ()

    @property
    def is_nothing(self) -> bool:
        return not self.scopes


class RiskCode(StrEnum):
    """What an approver should look at twice."""

    CRITICAL_SCOPE = "critical-scope"
    PRODUCTION_WRITE = "production-write"
    ADMIN_ACCESS = "admin-access"
    FIRST_TIME = "first-time"
    LONG_AUTHORISED = "long-authorised"
    LONG_CRYPTOPERIOD = "long-cryptoperiod"
    ANY_NETWORK = "any-network"
    BEYOND_TEMPLATE = "beyond-template"
    SELF_FETCH = "self-fetch"


@dataclass(frozen=True)
class RiskNote:
    """One such thing, with what it is about."""

    code: RiskCode
    params: Mapping[str, object] = field(default_factory=dict)


def power_of(content: Content) -> Power:
    """What the request asks for."""
    return Power(
        scopes=content.scopes,
        networks=content.networks,
        cryptoperiod_days=content.cryptoperiod_days,
        authorised_days=content.authorised_days,
    )


def together(keys: Iterable[ManagedKey]) -> Power:
    """What several keys may do as a whole: any address as soon as one of them has no networks."""
    rows = list(keys)
    open_to_all = any(not key.networks for key in rows)
    return Power(
        scopes=tuple(sorted({scope for key in rows for scope in key.scopes})),
        networks=() if open_to_all else tuple(sorted({network for key in rows for network in key.networks})),
        cryptoperiod_days=max((key.cryptoperiod_days for key in rows), default=None),
        keys=tuple(key.name for key in rows),
    )


def held_by_team(request: KeyRequest, *, at: datetime) -> Power:
    """What the team that would own the key already holds for this service in this environment."""
    keys = ManagedKey.objects.living(at).filter(
        owner_team_id=request.owner_team_id, service_id=request.service_id, environment_id=request.environment_id
    )
    return together(keys.exclude(request=request).order_by("number"))


def template_of(request: KeyRequest, content: Content) -> Power | None:
    """What the template that the request names offers; None without one."""
    template = KeyTemplate.objects.filter(service_id=request.service_id, name=content.template).first()
    return None if template is None or not content.template else Power(scopes=tuple(sorted(template.scopes)))


def risk_notes(
    content: Content,
    scopes: Collection[Scope],
    environment_class: EnvironmentClass,
    *,
    held: Power,
    template: Power | None = None,
) -> list[RiskNote]:
    """List what to look at twice, the worst first. Pure."""
    in_production = environment_class == EnvironmentClass.PRODUCTION
    critical = sorted(scope.name for scope in scopes if scope.risk == Risk.CRITICAL)
    writing = sorted(scope.name for scope in scopes if scope.access != Access.READ)
    administering = sorted(scope.name for scope in scopes if scope.access == Access.ADMIN)
    beyond = sorted(set(content.scopes) - set(template.scopes)) if template else []
    found = [
        (RiskNote(RiskCode.CRITICAL_SCOPE, {"scopes": ", ".join(critical)}), bool(critical)),
        (RiskNote(RiskCode.PRODUCTION_WRITE, {"scopes": ", ".join(writing)}), in_production and bool(writing)),
        (RiskNote(RiskCode.ADMIN_ACCESS, {"scopes": ", ".join(administering)}), bool(administering)),
        (RiskNote(RiskCode.FIRST_TIME), held.is_nothing and content.renews is None),
        (RiskNote(RiskCode.LONG_AUTHORISED, {"days": content.authorised_days}), content.authorised_days > LONG),
        (RiskNote(RiskCode.LONG_CRYPTOPERIOD, {"days": content.cryptoperiod_days}), content.cryptoperiod_days > LONG),
        (RiskNote(RiskCode.ANY_NETWORK), in_production and not content.networks),
        (RiskNote(RiskCode.BEYOND_TEMPLATE, {"scopes": ", ".join(beyond)}), bool(beyond)),
        (RiskNote(RiskCode.SELF_FETCH), content.self_fetch),
    ]
    return [note for note, applies in found if applies]


def risk_weight(scopes: Collection[Scope], environment_class: EnvironmentClass, *, authorised_days: int) -> int:
    """Order requests by what could go wrong: a figure for sorting, not for showing. Pure."""
    worst = max((_RISK_WEIGHT.get(scope.risk, 1) for scope in scopes), default=1)
    writes = any(scope.access != Access.READ for scope in scopes)
    return _PLACE_WEIGHT.get(environment_class, 1) * (worst + 2 * writes + (authorised_days > LONG))
