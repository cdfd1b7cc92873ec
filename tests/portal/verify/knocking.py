"""Ask the door of the data plane without a server between."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from keys.verification.counting.tallies import Tallies
from keys.verification.memory.feed import Feed
from keys.verification.memory.lease import clock
from keys.verification.memory.snapshot import NEVER
from portal.verify.app import VerifyApplication
from tests.keys.verification.following import following


class Answer:
    """What came back."""

    def __init__(self, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status = int(status[:3])
        self.headers = dict(headers)
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Door:
    """The application over a verifier that a test moves by hand."""

    def __init__(self, folder: Path, credential: str) -> None:
        self.feed: Feed = following("door")
        self.tallies = Tallies(folder)
        self.application = VerifyApplication(self.feed, self.tallies)
        self.credential = credential

    def ask(self, path: str, body: object = b"", *, method: str = "POST", **environ: str) -> Answer:
        """Ask with the credential, unless the header says otherwise; `body` is sent as JSON if it is no bytes."""
        self.stay_fresh()
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        said: list[Any] = []
        asked = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(raw)),
            "REMOTE_ADDR": "127.0.0.1",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "wsgi.input": io.BytesIO(raw),
            "HTTP_AUTHORIZATION": f"Bearer {self.credential}",
            **environ,
        }
        asked = {name: value for name, value in asked.items() if value is not None}
        content = b"".join(self.application(asked, lambda *given: said.extend(given)))  # type: ignore[arg-type]
        return Answer(said[0], said[1], content)

    def stay_fresh(self) -> None:
        """Between two looks of a test any time may pass; a lease that is none stays none."""
        for place in self.feed.catalogue.places.values():
            if place.fresh_until != NEVER:
                place.fresh_until = clock() + 60

    def verify(self, key: str, **more: object) -> Any:
        answer = self.ask("/v1/verify", {"key": key, **more})
        assert answer.status == 200, answer.body
        return answer.json

    def introspect(self, token: str, **environ: str) -> Answer:
        form = {"CONTENT_TYPE": "application/x-www-form-urlencoded"}
        return self.ask("/oauth2/introspect", f"token={token}".encode(), **form | environ)

    def forward(self, key: str | None = None, **headers: str) -> Answer:
        """As a gateway asks: its own credential apart from what the client sent."""
        sent = {"HTTP_KEYSTEAD_CREDENTIAL": self.credential, "HTTP_AUTHORIZATION": f"Bearer {key}" if key else None}
        return self.ask("/v1/forward-auth", method="GET", **sent | headers)  # type: ignore[arg-type]
