"""Say what a plug of forwarding is: it takes sealed events in order, and raises when they were not handed over."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string


class ForwardFailed(Exception):
    """The events were not handed over; the same ones come again. `code` is for the health page."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class BadAddress(ValueError):
    """The address says something that the plug does not understand."""


@dataclass(frozen=True, kw_only=True)
class SealedEvent:
    """One event with its place: receivers see by `leaf` what came twice and what is missing (Any: nested JSON)."""

    leaf: int
    payload: bytes
    facts: dict[str, Any]


class Forwarder(ABC):
    """Hands sealed events to one receiver."""

    def __init__(self, url: str) -> None:
        """Read the address; raise BadAddress before anything is sent."""
        self.url = url

    @property
    @abstractmethod
    def receiver(self) -> str:
        """Name the receiver: the same as long as it is the same one, without options and secrets."""

    @abstractmethod
    def send(self, events: Sequence[SealedEvent]) -> None:
        """Hand all of them over, in order, or raise ForwardFailed."""


def configured() -> Forwarder | None:
    """Return the plug of the settings, or None; raise ImportError or BadAddress for settings that cannot be."""
    if not settings.KEYSTEAD_LOG_FORWARD:
        return None
    plug: object = import_string(settings.KEYSTEAD_LOG_FORWARD)
    if not (isinstance(plug, type) and issubclass(plug, Forwarder)):
        raise BadAddress("KEYSTEAD_LOG_FORWARD names no Forwarder")
    return plug(settings.KEYSTEAD_LOG_FORWARD_URL)
