"""Send each request in one piece: a body of its own would be a second packet, and wake the other side twice."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from typing import Any

from keystead_client.errors import MalformedKey


class Connection(http.client.HTTPConnection):
    """A connection whose `ask` gathers what the library would send part by part."""

    _parts: list[bytes] | None = None

    def send(self, data: Any) -> None:  # Any: what the library takes
        """Keep what belongs to a request that is being written, and send anything else."""
        if self._parts is None:
            super().send(data)
        else:
            self._parts.append(data)

    def ask(self, method: str, path: str, *, headers: Mapping[str, str], body: bytes | None = None) -> None:
        """Send one request."""
        self._parts = []
        try:
            self.request(method, path, body=body, headers=dict(headers))
            whole = b"".join(self._parts)
        except ValueError:  # it quotes the header, and a secret with it
            words = "The credential holds what no header may hold, such as a line break."
            raise MalformedKey(words, code="unsendable") from None
        finally:
            self._parts = None
        self.send(whole)


class ConnectionOverTLS(Connection, http.client.HTTPSConnection):
    """The same over TLS."""
