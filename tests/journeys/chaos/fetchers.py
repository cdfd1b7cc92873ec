"""A program that takes its next secrets itself, over HTTP, and asks again under the same token when an answer is lost."""

from __future__ import annotations

import secrets
from typing import Any

import requests

from keys.models import ManagedKey
from tests.journeys.chaos.traffic import Traffic
from tests.servers import PortalServer


class Fetcher:
    """It stores before it acts; what it was told, the services ask about from then on."""

    def __init__(self, site: PortalServer, traffic: Traffic, key: ManagedKey, secret: str) -> None:
        self.site, self.traffic, self.key = site, traffic, key
        self.secret, self.next = secret, ""
        self.token = secrets.token_urlsafe(16)

    def fetch(self) -> int:
        """Take the next secret for the present one; returns how many were minted for this rotation so far."""
        told = self._post("next", self.secret, {"Idempotency-Key": self.token})
        self.next = str(told["secret"])
        self.traffic.learn(self.key.number, int(told["sequence"]), self.next)
        return int(told["hand_overs"])

    def activate(self) -> str:
        """Show the next secret, so that it works from now on; returns how far the rotation is."""
        return str(self._post("activate", self.next, {})["state"])

    def go_on(self) -> None:
        """Use the next secret as the present one."""
        self.secret, self.next, self.token = self.next, "", secrets.token_urlsafe(16)

    def _post(self, path: str, secret: str, headers: dict[str, str]) -> dict[str, Any]:
        answer = requests.post(
            f"{self.site.url}/v1/rotation/{path}", headers={"Authorization": f"Bearer {secret}", **headers}, timeout=30
        )
        assert answer.status_code == 200, f"{answer.text[:500]}\n{self.site.log()[-4000:]}"
        return dict(answer.json())
