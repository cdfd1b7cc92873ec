"""Read networks as people write them, and tell whether one set lies within another."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from keys.errors import Invalid

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MOST = 32


def read_networks(values: Iterable[str]) -> tuple[str, ...]:
    """Canonical CIDR texts, sorted, without repeats. Host bits, IPv4-mapped IPv6 and "everywhere" are refused."""
    found: set[Network] = set()
    for value in values:
        text = value.strip()
        if not text.isascii() or len(text) > 50 or "%" in text:
            raise Invalid.field("networks", "not_a_network", value=text[:50] if text.isascii() else "")
        try:
            network = ipaddress.ip_network(text)
        except ValueError as error:
            raise Invalid.field("networks", "not_a_network", value=text) from error
        if network.prefixlen == 0:
            raise Invalid.field("networks", "network_is_everywhere", value=text)
        if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped is not None:
            raise Invalid.field("networks", "ipv4_mapped", value=text)
        found.add(network)
    for version in (4, 6):
        family = [each for each in found if each.version == version]
        if any(each.prefixlen == 0 for each in ipaddress.collapse_addresses(family)):  # type: ignore[type-var]
            raise Invalid.field("networks", "network_is_everywhere", value=", ".join(map(str, family))[:50])
    if len(found) > MOST:
        raise Invalid.field("networks", "too_many", most=MOST)
    return tuple(
        str(network) for network in sorted(found, key=lambda n: (n.version, int(n.network_address), n.prefixlen))
    )


def is_within(narrow: Sequence[str], wide: Sequence[str]) -> bool:
    """Whether every address of `narrow` is one of `wide`. No networks at all means any address."""
    if not wide:
        return True
    if not narrow:
        return False
    outer = [ipaddress.ip_network(text) for text in wide]
    return all(
        any(inner.version == each.version and inner.subnet_of(each) for each in outer)  # type: ignore[arg-type]
        for inner in map(ipaddress.ip_network, narrow)
    )
