/** Counts what was verified in process, to tell Keystead in batches: last used, by whom, and why not. */

import { randomUUID } from "node:crypto";
import { isIP } from "node:net";

import type { Client } from "./verdicts.js";

const MOST_IN_A_BATCH = 500;
const MOST_BYTES = 60 * 1024; // of 64 that Keystead reads, of which a row takes 24 at most: what is refused whole is lost whole
const MOST_WAITING = 100_000; // different rows; more than that is thrown away rather than kept for ever
const MINUTE = 60_000;

interface Use {
  readonly kid: string;
  readonly outcome: string;
  readonly minute: number;
  readonly client?: Record<string, string>;
  count: number;
}

export class Uses {
  readonly #counted = new Map<string, Use>();
  #batch: { readonly name: string; readonly uses: readonly Use[] } | undefined;

  /** `at`: milliseconds by Keystead's clock, which takes no uses of a minute that has not begun there. */
  note(kid: string, outcome: string, client: Client | undefined, at: number): void {
    const minute = Math.floor(at / MINUTE) * MINUTE;
    const shown = client === undefined ? undefined : clientJson(client);
    const row = `${kid} ${outcome} ${minute} ${shown === undefined ? "" : JSON.stringify(shown)}`;
    const known = this.#counted.get(row);
    if (known !== undefined) known.count += 1;
    else if (this.#counted.size < MOST_WAITING) {
      this.#counted.set(row, { kid, outcome, minute, count: 1, ...(shown === undefined ? {} : { client: shown }) });
    }
  }

  /** The batch to send: the same one, under the same name, until it is `sent`. */
  batch(): { readonly name: string; readonly uses: readonly Use[] } | undefined {
    if (this.#batch === undefined && this.#counted.size > 0) {
      const uses: Use[] = [];
      let room = MOST_BYTES;
      for (const [row, use] of [...this.#counted].slice(0, MOST_IN_A_BATCH)) {
        room -= Buffer.byteLength(JSON.stringify(use)) + 1;
        if (room < 0) break;
        this.#counted.delete(row);
        uses.push(use);
      }
      this.#batch = { name: randomUUID(), uses };
    }
    return this.#batch;
  }

  /** How many rows wait to be told. */
  get waiting(): number {
    return this.#counted.size + (this.#batch?.uses.length ?? 0);
  }

  /** Forgets the batch; Keystead has it. */
  sent(): void {
    this.#batch = undefined;
  }
}

/** What is known of a client; longer texts than Keystead reads are cut, and what is no address to anybody else is left out. */
export function clientJson(client: Client): Record<string, string> | undefined {
  const known = {
    ...(client.address && isIP(client.address) && !client.address.includes("%") ? { address: client.address } : {}),
    ...(client.userAgent ? { user_agent: readable(client.userAgent.slice(0, 2000)) } : {}),
    ...(client.instance ? { instance: readable(client.instance.slice(0, 100)) } : {}),
  };
  return Object.keys(known).length ? known : undefined;
}

/** Leaves out what Keystead's JSON does not hold: one such client would have a whole batch of uses refused. */
function readable(text: string): string {
  return Buffer.from(text).toString().replaceAll("\0", "");
}
