/** Knows whether an address lies in allowed networks. A missing address lies in none of them. */

import { BlockList, isIP } from "node:net";

const MAPPED = new BlockList();
MAPPED.addSubnet("::ffff:0:0", 96, "ipv6");

export class Networks {
  // Apart: a BlockList takes IPv4 for a part of IPv6, and would find it in ::/8.
  readonly #allowed = { ipv4: new BlockList(), ipv6: new BlockList() };

  constructor(networks: readonly string[]) {
    for (const network of networks) {
      const [address = "", length = ""] = network.split("/");
      const family = isIP(address) === 6 ? "ipv6" : "ipv4";
      this.#allowed[family].addSubnet(address, Number(length || (family === "ipv6" ? 128 : 32)), family);
    }
  }

  /** Whether that address may present the key. */
  allow(address: string | undefined): boolean {
    // An address with a zone means something on one machine only.
    if (address === undefined || isIP(address) === 0 || address.includes("%")) return false;
    const written = isIP(address) === 6 ? "ipv6" : "ipv4";
    // A socket for both families shows IPv4 as ::ffff:a.b.c.d: that is IPv4.
    const family = written === "ipv6" && MAPPED.check(address, written) ? "ipv4" : written;
    return this.#allowed[family].check(address, written);
  }
}
