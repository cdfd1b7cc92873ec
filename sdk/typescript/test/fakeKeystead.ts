/** An HTTP server that answers as it is told, and remembers what it was asked. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { type Credential, Secret } from "../src/index.js";

// One place for all: the portal's tests and those of the Python client read the same files.
const VECTORS = new URL("../../../../tests/vectors/", import.meta.url);

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- the shape is the file's
export function vectors(name: string): any {
  return JSON.parse(readFileSync(fileURLToPath(new URL(`${name}.json`, VECTORS)), "utf8"));
}

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly bearer: string;
}

/** A body may be a function that writes: an answer that goes on. */
export type Answer = readonly [status: number, body: unknown, headers?: Record<string, string>];
type Door = (asked: Asked) => Answer;

export class FakeKeystead {
  readonly asked: Asked[] = [];
  /** Secrets that are nobody's any more, at any door. */
  readonly stopped = new Set<string>();
  readonly #doors = new Map<string, Door>();
  readonly #server: Server;

  constructor() {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const [method, path] = [request.method ?? "", request.url ?? ""];
        const bearer = (request.headers.authorization ?? "").replace("Bearer ", "");
        const asked = { method, path, headers: request.headers, body: Buffer.concat(chunks).toString(), bearer };
        this.asked.push(asked);
        const open = this.#doors.get(`${method} ${path}`) ?? (() => problem("not_found", 404));
        const [status, body, headers] = this.stopped.has(bearer) ? problem("invalid_token", 401) : open(asked);
        response.writeHead(status, headers);
        if (typeof body === "function") body(response);
        else response.end(typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body));
      });
    });
    this.#server.keepAliveTimeout = 0; // it closes nothing by itself: a program that is held up for seconds would meet that
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return this;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  on(route: string, door: Door | Answer): void {
    this.#doors.set(route, typeof door === "function" ? (door as Door) : () => door);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

export function problem(code: string, status: number, members: Record<string, unknown> = {}): Answer {
  return [status, { type: `urn:keystead:problem:${code}`, title: "No", status, code, ...members }];
}

/** Milliseconds for which a client waits: the two seconds of a service pass on a crowded machine before anybody is at work. */
export const PATIENCE = 60_000;

/** Waits for what has to come, by turns and not by the clock: a machine may hold all of them up together. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let turn = 0; !(await condition()); turn++) {
    assert.ok(turn < 6000, "it did not happen in time");
    await pause(5);
  }
}

/** How often it is asked for in the time of 400 questions of ours: a program that asks without a pause asks as often. */
export async function timesMeanwhile(keystead: FakeKeystead, path: string): Promise<number> {
  const begun = keystead.asked.length;
  for (let turn = 0; turn < 400; turn++) await (await fetch(`${keystead.url}/nothing`)).text();
  return keystead.asked.slice(begun).filter((asked) => asked.path === path).length;
}

/** Runs a test with a Keystead that is stopped whatever happens. */
export async function withKeystead(run: (keystead: FakeKeystead) => Promise<void>): Promise<void> {
  const keystead = await new FakeKeystead().start();
  try {
    await run(keystead);
  } finally {
    await keystead.stop();
  }
}

/** A credential whose old secret stops the moment the new one works, as with an overlap of `now`. */
export function rotating(now: string, other: string | undefined): Credential {
  return { current: () => new Secret(now), rejected: async () => (other === undefined ? undefined : new Secret(other)) };
}
