"""Let through only what an endpoint declares; what it does not declare is for nobody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from audit.actor import Actor, ActorKind
from keys.errors import Denied
from keys.operations import record_denial
from keys.policy.device_rules import DEVICE
from keys.verification.credentials import Credential

if TYPE_CHECKING:
    from rest_framework.views import APIView  # it imports this module by its name in the settings

ROLES: Final = ("developer", "approver", "administrator", "responder", "auditor", "program", "stranger")
ANY_SCOPE: Final = ("keys:read", "keys:revoke", "requests:read", "requests:write", "audit:read")


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who may call an operation. `scopes`: any one of them lets a program through; none means people only. `by_devices`: also
    for what a person signed in; what nobody needs presence for, and is neither asking for keys nor a leak, is done in a browser.

    `cells` is what docs/api-roles.md shows for each role: what the policy answers them about a key or request of another
    team's developer. It documents and is tested; the policy decides.
    """

    operation: str
    scopes: tuple[str, ...] = ()
    by_devices: bool = True
    cells: dict[str, str] = field(default_factory=dict)


def cells(yes: str = "", hidden: str = "", invalid: str = "") -> dict[str, str]:
    """Name the roles that get what they ask for, for whom it does not exist, whose input is refused; the rest are denied."""
    told = {"yes": yes.split(), "404": hidden.split(), "422": invalid.split()}
    unknown = {role for roles in told.values() for role in roles} - set(ROLES)
    if unknown:
        raise ValueError(f"no such role: {unknown}")
    return {role: next((cell for cell, roles in told.items() if role in roles), "403") for role in ROLES}


def access_of(view: APIView, method: str) -> Access | None:
    """What the handler of `method` declares."""
    handler: Callable[..., Any] | None = getattr(view, method.lower(), None)
    return getattr(handler, "access", None)


class NobodyByDefault(BasePermission):
    """Refuse: a view without a declaration of its own has no visitors."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Say no."""
        return False


class AsDeclared(BasePermission):
    """Ask the declaration of the handler. A program that lacks the scope is refused, and that is on record."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Say yes only for a known actor and a declared operation."""
        actor: object = request.user  # ours, not one of Django's
        access = access_of(view, request.method or "")
        if not isinstance(actor, Actor) or access is None:
            return False
        if actor.kind == ActorKind.PERSON:
            if DEVICE in actor.auth.methods and not access.by_devices:
                self._refuse(Denied("browser_only", rule="api.device"), access, actor)
            return actor.auth.mfa
        if actor.kind != ActorKind.PROGRAM:
            return False
        held = request.auth.scopes if isinstance(request.auth, Credential) else frozenset()
        if not access.scopes:
            self._refuse(Denied("people_only", rule="api.people"), access, actor)
        if held.isdisjoint(access.scopes):
            self._refuse(Denied("scope_missing", rule="api.scope", scope=access.scopes[0]), access, actor)
        return True

    def _refuse(self, denied: Denied, access: Access, actor: Actor) -> None:
        record_denial(denied, operation=access.operation, subject=None, actor=actor)
        raise denied
