/** Knows whether an address lies in allowed networks. A missing address lies in none of them. */

import { BlockList, isIP } from "node:net";

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

export class Networks {
  readonly #allowed = new BlockList();

  constructor(networks: readonly string[]) {
    for (const network of networks) {
      const [address = "", length = ""] = network.split("/");
      const family = isIP(address) === 6 ? "ipv6" : "ipv4";
      this.#allowed.addSubnet(address, Number(length || (family === "ipv6" ? 128 : 32)), family);
    }
  }

  /** Whether that address may present the key. */
  allow(address: string | undefined): boolean {
    // An address with a zone means something on one machine only.
    if (address === undefined || address.includes("%")) return false;
    // A socket for both families shows IPv4 as ::ffff:a.b.c.d: that is IPv4.
    const plain = MAPPED.exec(address)?.[1] ?? address;
    const family = isIP(plain);
    return family !== 0 && this.#allowed.check(plain, family === 6 ? "ipv6" : "ipv4");
  }
}
