"""Know whether an address lies in allowed networks, with whole numbers: parsing them for every call would cost more than the call."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence


class Networks:
    """A list of allowed networks. A missing address lies in none of them."""

    __slots__ = ("_ranges",)

    def __init__(self, networks: Sequence[str]) -> None:
        parsed = [ipaddress.ip_network(text) for text in networks]
        self._ranges = tuple((each.version, int(each.network_address), int(each.broadcast_address)) for each in parsed)

    def allow(self, address: str | None) -> bool:
        """Whether that address may present the key."""
        found = read_address(address)
        if found is None:
            return False
        version, number = found
        return any(version == each and low <= number <= high for each, low, high in self._ranges)


def read_address(address: str | None) -> tuple[int, int] | None:
    """Read an address as version and number. A socket for both families shows IPv4 as ::ffff:a.b.c.d: that is IPv4."""
    if address is None:
        return None
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address):
        if found.scope_id is not None:
            return None  # an address with a zone means something on one machine only
        mapped = found.ipv4_mapped
        if mapped is not None:
            return 4, int(mapped)
    return found.version, int(found)
