/**
 * Remembers accepted signatures in Valkey or Redis, for several processes and machines: SET NX PX, and what makes it safe to believe.
 *
 * A flush takes the start marker with it: the next request writes a new one, and what was signed before it is refused. A restart
 * (also from an old dump), a failover and SCRIPT FLUSH take the script with them, which is never stored: only who has written a new
 * marker loads it again. The script and its keys are those of the client for Python, so programs of both may share a store.
 */

import { createHash } from "node:crypto";

import { CLOCKS_SECONDS, DOUBT_SECONDS, KEPT_SECONDS, NonceStoreUnavailable, type NonceStore, type Spending } from "./nonces.js";

const SCRIPT = `
local now = tonumber(redis.call('TIME')[1])
if math.abs(now - tonumber(ARGV[2])) > tonumber(ARGV[3]) then return -2 end
local start = redis.call('GET', KEYS[1])
if not start then
    redis.call('SET', KEYS[1], now)
    start = now
end
if tonumber(ARGV[1]) <= tonumber(start) + tonumber(ARGV[4]) then return -1 end
if redis.call('SET', KEYS[2], '', 'NX', 'PX', ARGV[5]) then return 1 end
return 0
`;
const SHA = createHash("sha1").update(SCRIPT).digest("hex"); // how Valkey names a script
const BEGIN = "redis.call('SET', KEYS[1], redis.call('TIME')[1]) return 1";
const [FRESH, SPENT, YOUNG] = [1, 0, -1];
const CHECKED_EVERY = 30_000;
const OLDEST_RELEASE = 7; // before it, scripts were copied to replicas and survived a failover

/** Sends one command with its arguments and resolves to the answer: a whole number as a number, a text as a text. */
export type SendCommand = (command: string[]) => Promise<unknown>;

/**
 * Remembers in one Valkey, or Redis 7, that all processes share.
 *
 * `send` is any client's way to send a command, with a timeout, to a server that evicts nothing. `name` begins the names of its
 * keys; the braces keep them together in a cluster. About 150 bytes a nonce.
 */
export class ValkeyNonces implements NonceStore {
  readonly #send: SendCommand;
  readonly #name: string;
  readonly #start: string;
  #checkedAt = -Infinity;
  #beginning: Promise<void> | undefined;

  constructor(send: SendCommand, { name = "{keystead-nonces}" }: { readonly name?: string } = {}) {
    this.#send = send;
    this.#name = name;
    this.#start = `${name}:start`;
  }

  async spend(kid: string, nonce: string, spending: Spending): Promise<boolean> {
    let told: unknown;
    try {
      if (performance.now() - this.#checkedAt > CHECKED_EVERY) await this.#check();
      told = await this.#ask(`${this.#name}:${kid}:${nonce}`, spending);
    } catch (error) {
      if (error instanceof NonceStoreUnavailable) throw error;
      throw new NonceStoreUnavailable("Valkey was not reached."); // whatever the client throws: nothing is known
    }
    if (told === YOUNG) throw new NonceStoreUnavailable("This may have been accepted before.", "nonce_store_young");
    // A transaction and the like answer with something else, which is no yes.
    if (told !== FRESH && told !== SPENT) throw new NonceStoreUnavailable("Valkey's clock or answer is none to rely on.");
    return told === FRESH;
  }

  async #ask(key: string, { created, now }: Spending): Promise<unknown> {
    const keeps = Math.max(1, Math.floor((created - now + KEPT_SECONDS) * 1000));
    const words = [created, Math.floor(now), CLOCKS_SECONDS, DOUBT_SECONDS, keeps].map(String);
    const command = ["EVALSHA", SHA, "2", this.#start, key, ...words];
    try {
      return await this.#send([...command]);
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith("NOSCRIPT"))) throw error;
    }
    this.#beginning ??= this.#begin().finally(() => (this.#beginning = undefined));
    await this.#beginning;
    return this.#send(command);
  }

  /** The marker first and the script second: who finds the script finds a marker of this life. */
  async #begin(): Promise<void> {
    await this.#send(["EVAL", BEGIN, "1", this.#start]);
    await this.#send(["SCRIPT", "LOAD", SCRIPT]);
  }

  /** Sees that it never evicts: a bounded memory that forgets the oldest is an attacker's way in. */
  async #check(): Promise<void> {
    const told = new Map(String(await this.#send(["INFO"])).split(/\r?\n/).map((line) => line.split(":", 2) as [string, string]));
    if (told.get("maxmemory") !== "0" && told.get("maxmemory_policy") !== "noeviction") {
      throw new NonceStoreUnavailable("Valkey may evict: set maxmemory-policy to noeviction.");
    }
    if (!(Number.parseInt(told.get("redis_version") ?? "") >= OLDEST_RELEASE)) {
      throw new NonceStoreUnavailable("Redis before 7 cannot be relied on after a failover.");
    }
    this.#checkedAt = performance.now();
  }
}
