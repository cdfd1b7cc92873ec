/**
 * Holds a secret that replaces itself: fetches the next version with the old one, activates it, swaps, without a failed request.
 *
 * Every step is stored before it is acted upon, so that a crash in any of them loses nothing:
 *
 *     GET ready -> store a token -> POST next -> store the next secret -> POST activate -> store it as the current one
 */

import { randomBytes } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";

import type { Credential } from "./credentials.js";
import { Busy, KeysteadError, Refused, Unreachable } from "./errors.js";
import { parse } from "./keyText.js";
import { asSecret, Secret } from "./secret.js";
import { MemoryStore, type Store } from "./stores.js";
import { type Connection, isObject, LONGEST_TIMER, refusePlain, Transport } from "./transport.js";

/** What is stored. `seed` is the kid that the operator gave: another one there later means a fresh start. */
interface Held {
  readonly seed: string;
  readonly current: string;
  readonly previous: string;
  readonly token: string;
  readonly next: string;
  readonly at_once: boolean;
}

export interface RotatingOptions extends Connection {
  /** The secret as it was claimed; used until the store holds a later one. */
  readonly initial?: string | Secret;
  /** Milliseconds for a whole answer; 10,000 if nothing is said. */
  readonly timeout?: number;
  /** Where the secrets are kept beyond this process; in memory if nothing is said. */
  readonly store?: Store;
  /** Milliseconds between activation and swap, in which every verifier learns of the new version. */
  readonly settling?: number;
  /** Milliseconds after which it looks again at the latest. */
  readonly longestPause?: number;
  /** Is told what only a person can settle. */
  readonly onTrouble?: (error: KeysteadError) => void;
}

// Any other no says nothing of the token: it may have brought a secret whose answer was lost, and a second token is an alarm.
const ENDS_THE_TRY = new Set(["already_activated", "rotation_not_due", "no_rotation", "fetched_by_another", "fetch_contested"]);
const NOT_DUE = new Set(["already_activated", "rotation_not_due", "no_rotation"]);

export class RotatingCredential implements Credential {
  readonly #transport: Transport;
  readonly #store: Store;
  readonly #options: RotatingOptions;
  readonly #stopped = new AbortController();
  #held: Held;
  #last: Promise<unknown> = Promise.resolve();
  #following: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #refused = new AbortController();

  private constructor(options: RotatingOptions, store: Store, held: Held) {
    this.#options = options;
    this.#transport = new Transport({ timeout: 10_000, ...options });
    this.#store = store;
    this.#held = held;
  }

  /** Reads the store, or begins it with `initial`. */
  static async open(options: RotatingOptions): Promise<RotatingCredential> {
    const store = options.store ?? new MemoryStore();
    const text = await store.load();
    let held = text ? readHeld(text) : undefined;
    if (options.initial !== undefined) {
      const initial = asSecret(options.initial);
      const seed = parse(initial).kid;
      if (held?.seed !== seed) {
        held = { seed, current: initial.reveal(), previous: "", token: "", next: "", at_once: false };
        await store.save(JSON.stringify(held));
      }
    }
    if (held === undefined) throw new RangeError("nothing is stored yet: give the secret as it was claimed, as `initial`");
    return new RotatingCredential(options, store, held);
  }

  /** The secret to present now. */
  current(): Secret {
    return new Secret(this.#held.current);
  }

  /** Around a swap, a verifier may not know the new version yet, or not the old one any more: the other one to try, once. */
  async rejected(secret: Secret): Promise<Secret | undefined> {
    this.#wake?.();
    this.#refused.abort();
    const { next, current, previous } = this.#held;
    const other = [next, current, previous].find((text) => text !== "" && text !== secret.reveal());
    return other === undefined ? undefined : new Secret(other);
  }

  /** Sends a request with the current secret, and once more with the other version if the first is answered with 401. */
  readonly fetch = async (input: string | URL, init: RequestInit = {}): Promise<Response> => {
    refusePlain(new URL(input), this.#options.allowPlainHttp ?? false);
    const send = (secret: Secret): Promise<Response> => {
      const headers = new Headers(init.headers);
      headers.set("Authorization", `Bearer ${secret.reveal()}`);
      return fetch(input, { ...init, headers });
    };
    const secret = this.current();
    const answer = await send(secret);
    const other = answer.status === 401 ? await this.rejected(secret) : undefined;
    if (other === undefined || isRead(init.body)) return answer;
    await answer.body?.cancel().catch(() => undefined); // its words may be cut, or have no end
    return send(other);
  };

  /** Takes whatever step can be taken now; resolves to the seconds after which to call again. */
  refresh(): Promise<number> {
    const step = this.#last.then(() => this.#step());
    this.#last = step.catch(() => undefined);
    return step;
  }

  /** Follows rotations until `close`; the process does not stay alive for it. */
  start(): this {
    this.#following ??= this.#follow();
    return this;
  }

  /** Stops following. What is stored stays. */
  async close(): Promise<void> {
    this.#stopped.abort();
    this.#wake?.();
    await this.#last;
  }

  async #step(): Promise<number> {
    if (this.#held.next !== "") await this.#activate();
    const said = await this.#transport.ask("GET", "/v1/rotation", { bearer: this.#held.current });
    if (isObject(said) && said["is_current"] === false) {
      // Nothing of ours fetched it: a person claimed it and has to give it to us, or somebody else has our secret.
      throw new Refused("a newer secret of this key works, and this client was not given it", "superseded", 0);
    }
    if (!isObject(said) || said["ready"] !== true) return secondsOf(isObject(said) ? said["check_after"] : undefined);
    if (this.#held.token === "") await this.#keep({ token: randomBytes(24).toString("base64url") });
    return this.#fetchNext();
  }

  async #fetchNext(): Promise<number> {
    let answer: unknown;
    try {
      answer = await this.#post("next", this.#held.current, { "Idempotency-Key": this.#held.token });
    } catch (error) {
      if (!(error instanceof Refused) || error instanceof Busy) throw error;
      if (ENDS_THE_TRY.has(error.code)) await this.#keep({ token: "" });
      if (NOT_DUE.has(error.code)) return secondsOf(error.tryAfter);
      throw error;
    }
    const fetched = isObject(answer) ? String(answer["secret"]) : "";
    parse(fetched); // what is no key must not replace one
    await this.#keep({ next: fetched, at_once: isObject(answer) && answer["overlap"] === "now" });
    await this.#activate();
    return 1;
  }

  /** Activates the stored next secret and swaps. Nothing that is not stored is ever activated. */
  async #activate(): Promise<void> {
    const held = this.#held;
    this.#refused = new AbortController();
    try {
      await this.#post("activate", held.next);
    } catch (error) {
      if (error instanceof Refused && (error.status === 401 || error.code === "nothing_to_activate")) {
        await this.#keep({ next: "", at_once: false }); // it is dead; the same token brings another
        return;
      }
      throw error;
    }
    // With an overlap the old one verifies too: let every verifier learn of the new one. Without, a verifier that has not
    // heard of this takes the old one, and one that has refuses it and takes the other: so the old one is presented first.
    const until = held.at_once ? AbortSignal.any([this.#refused.signal, this.#stopped.signal]) : this.#stopped.signal;
    await this.#wait(this.#options.settling ?? 4000, until, { ref: true }); // a step that began is ended before the process
    await this.#keep({ current: held.next, previous: held.current, next: "", token: "", at_once: false });
  }

  #post(step: string, secret: string, headers: Record<string, string> = {}): Promise<unknown> {
    return this.#transport.ask("POST", `/v1/rotation/${step}`, { bearer: secret, body: {}, headers });
  }

  async #keep(changes: Partial<Held>): Promise<void> {
    const held = { ...this.#held, ...changes };
    await this.#store.save(JSON.stringify(held));
    this.#held = held;
  }

  async #follow(): Promise<void> {
    const longest = this.#options.longestPause ?? 3_600_000;
    for (let failures = 0; !this.#stopped.signal.aborted; ) {
      let seconds: number;
      try {
        seconds = await this.refresh();
        failures = 0;
      } catch (error) {
        failures += 1;
        const mayPass = error instanceof Busy || error instanceof Unreachable;
        const told = error instanceof Busy ? error.tryAfter : undefined;
        seconds = mayPass ? secondsOf(told, Math.min(2 ** failures, 60)) : 60 * failures;
        if (!mayPass) this.#tell(error);
      }
      // A little disorder, so that a thousand clients do not knock at once.
      const woken = new AbortController();
      this.#wake = () => woken.abort();
      const until = AbortSignal.any([woken.signal, this.#stopped.signal]);
      await this.#wait(Math.min(seconds * 1000, longest) * (0.9 + 0.2 * Math.random()), until);
      this.#wake = undefined;
      // Many requests hear 401 at once, and of a key that was revoked they hear nothing else: one look is enough.
      await this.#wait(woken.signal.aborted ? Math.min(200 * 2 ** failures, 60_000) : 0);
    }
  }

  async #wait(milliseconds: number, signal: AbortSignal = this.#stopped.signal, { ref = false } = {}): Promise<void> {
    await pause(Math.min(milliseconds, LONGEST_TIMER), undefined, { signal, ref }).catch(() => undefined);
  }

  #tell(error: unknown): void {
    const words = error instanceof Error ? error.message : String(error);
    const trouble = error instanceof KeysteadError ? error : new KeysteadError(words, "trouble");
    try {
      if (this.#options.onTrouble) return this.#options.onTrouble(trouble);
    } catch {
      // It is somebody else's, and a rejection that nobody hears would end the process.
    }
    process.emitWarning(`the key cannot rotate by itself: ${trouble.message}`, { code: trouble.code });
  }
}

/** Seconds to wait, as they were told. What is no such number would have Keystead asked without end. */
function secondsOf(told: unknown, otherwise = 60): number {
  return typeof told === "number" && !Number.isNaN(told) ? Math.max(told, 1) : otherwise;
}

/** Reads what was stored; whatever fails would quote it, and a secret with it. */
function readHeld(text: string): Held {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // told below
  }
  const { seed, current, previous = "", token = "", next = "", at_once = false } = isObject(value) ? value : {};
  const texts = [seed, current, previous, token, next];
  if (!seed || !current || texts.some((each) => typeof each !== "string") || typeof at_once !== "boolean") {
    const words = "what is stored is no rotating credential: remove it, and give a secret that works as `initial`";
    throw new KeysteadError(words, "store_unreadable");
  }
  return { seed, current, previous, token, next, at_once } as Held;
}

/** Whether a body is gone once it was sent: a stream, or what makes one piece after the other. */
function isRead(body: unknown): boolean {
  return typeof body === "object" && body !== null && Symbol.asyncIterator in body;
}
