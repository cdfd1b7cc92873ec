"""Tell whether an address lies in one of the networks from which a key may be used. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection


def outside_networks(networks: Collection[str], address: str | None) -> bool:
    """Whether an address is missing or in none of the allowed networks; no networks means any address."""
    if not networks:
        return False
    if address is None:
        return True
    found = read_address(address)
    allowed = [ipaddress.ip_network(text) for text in networks]
    return not any(found.version == each.version and found in each for each in allowed)


def read_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Read one address; ValueError otherwise. A socket for both families shows IPv4 as ::ffff:a.b.c.d: that is IPv4."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            raise ValueError("an address with a zone means something on one machine only")
        return address.ipv4_mapped or address
    return address
