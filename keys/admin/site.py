"""Say what the pages of this room need from the site that serves them: who acts, and whether they proved it."""

from __future__ import annotations

from typing import Any, Protocol

from django.http import HttpRequest

from audit.actor import Actor


class Proof(Protocol):
    """Why a proof of presence does not count."""

    @property
    def status(self) -> int:
        """The HTTP status to answer with."""


class Site(Protocol):
    """An admin site that knows people and their second factors (portal.admin_site)."""

    name: str

    def actor_of(self, http: HttpRequest) -> Actor:
        """Return the administrator behind a request."""

    def confirm(self, http: HttpRequest, purpose: str) -> Proof | None:
        """Make sure of a step-up for `purpose`; None means yes."""

    def step_up(self, http: HttpRequest, purpose: str, problem: object) -> object:
        """Return what `accounts/step_up_fields.html` draws."""

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Return what every page of the site shows."""
