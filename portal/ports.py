"""Take the ports of the one-command start before anything is started, and keep them for its own processes."""

from __future__ import annotations

import errno
import socket
import sys
from dataclasses import dataclass
from typing import Self


class PortTaken(RuntimeError):
    """Say which port cannot be had, and why."""


@dataclass(frozen=True)
class Address:
    """Where a server listens."""

    host: str
    port: int

    @classmethod
    def read(cls, text: str) -> Self:
        """Read `host:port` as our servers do; ValueError for anything else."""
        host, _, port = text.rpartition(":")
        return cls(host.strip("[]"), int(port))

    @property
    def url(self) -> str:
        """Where to ask from this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.host, self.host)  # noqa: S104 - read, not bound
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def held(self) -> socket.socket:
        """Keep everybody away for as long as the socket is open, but who asks to share the port, as our own servers do.

        Whoever answers there is ours then: a second start finds the port taken also while nobody listens there yet. Only
        Linux knows how; elsewhere this is a look.
        """
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            holder = socket.create_server((self.host, self.port), family=family, backlog=1)
        except OSError as error:
            why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be opened ({error.strerror})"
            raise PortTaken(f"Port {self.port} {why}") from None
        if sys.platform == "linux":
            # In this order, so that the port is ours alone at every moment.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            holder.shutdown(socket.SHUT_RDWR)  # it stays bound, and takes no connection
        else:
            holder.close()
        return holder
