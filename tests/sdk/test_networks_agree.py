"""Whether an address lies in allowed networks the clients that decide in process say as Keystead's door does, however it is written."""

from __future__ import annotations

import json
import random
import subprocess
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from keystead_client.networks import Networks

from keys.policy.addresses import outside_networks
from tests.sdk.node import CLIENT, need_node

OCTETS = (0, 1, 10, 127, 192, 255)
MAPPED = 0xFFFF_0000_0000
PREFIXES = (0, 0x2001_0DB8 << 96, 0x64_FF9B << 96, 0x2002 << 112, MAPPED)
LENGTHS = {4: (0, 1, 8, 15, 24, 31, 32), 6: (0, 1, 8, 32, 64, 65, 96, 104, 127, 128)}
DECIDING = """
import { createInterface } from "node:readline";
const { Networks } = await import(process.argv[1]);
for await (const line of createInterface({ input: process.stdin })) {
  const [networks, address] = JSON.parse(line);
  console.log(new Networks(networks).allow(address));
}
"""


@pytest.mark.parametrize("count", [2_000, pytest.param(200_000, marks=pytest.mark.long)])
def test_all_three_allow_the_same_addresses(count: int) -> None:
    need_node()
    chosen = random.Random(20_261_122)  # the same ones each time
    asked = [([*map(str, networks)], written) for networks, written in (case(chosen) for _ in range(count))]
    script = ["node", "--input-type=module", "--eval", DECIDING, (CLIENT / "dist/src/networks.js").as_uri()]
    done = subprocess.run(script, input="\n".join(map(json.dumps, asked)), capture_output=True, text=True, check=True)
    in_node = [json.loads(line) for line in done.stdout.splitlines()]
    by_the_door = [allows(*each) for each in asked]
    assert count // 10 < sum(by_the_door) < count
    assert [Networks(networks).allow(address) for networks, address in asked] == by_the_door
    assert in_node == by_the_door


def allows(networks: list[str], address: str) -> bool:
    """What the door says; what is no address it has refused before it asks."""
    try:
        return not outside_networks(networks, address)
    except ValueError:
        return False


def case(chosen: random.Random) -> tuple[list[object], str]:
    networks = []
    for address in (any_address(chosen) for _ in range(chosen.randrange(1, 4))):
        networks.append(ip_network((address, chosen.choice(LENGTHS[address.version])), strict=False))
    one = chosen.choice(networks)
    inside = one[chosen.randrange(min(one.num_addresses, 2**60))]
    return [*networks], written(chosen, inside if chosen.random() < 0.7 else any_address(chosen))


def any_address(chosen: random.Random) -> IPv4Address | IPv6Address:
    if chosen.random() < 0.5:
        return ip_address(bytes(chosen.choices(OCTETS, k=4)))
    return IPv6Address(chosen.choice(PREFIXES) | chosen.getrandbits(32))


def written(chosen: random.Random, address: IPv4Address | IPv6Address) -> str:
    """In one of the ways in which a socket, a proxy or somebody who tries may write it."""
    text = str(address)
    if isinstance(address, IPv6Address):
        return chosen.choice([text, text, text.upper(), address.exploded, f"{text}%1", f"[{text}]", f" {text}"])
    mapped = IPv6Address(MAPPED | int(address))
    clothed = [f"::ffff:{text}", f"::FFFF:{text}", f"0:0:0:0:0:ffff:{text}", str(mapped), mapped.exploded]
    return chosen.choice([text, text, *clothed, f"::{text}", f"0{text}", f"{text}.", f"{text}/32", str(int(address))])
