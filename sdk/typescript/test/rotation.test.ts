import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmod, chown, lutimes, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { Busy, FileStore, type KeysteadError, MemoryStore, parse, Refused, RotatingCredential, Secret, Unreachable, Unsafe } from "../src/index.js";
import { type Answer, type Asked, type FakeKeystead, PATIENCE, problem, timesMeanwhile, until, vectors, withKeystead } from "./fakeKeystead.js";

const TEXTS: string[] = vectors("key_text").valid.map((each: { text: string }) => each.text);

/** A Keystead that rotates one key as the real one does. */
class FakeRotation {
  readonly first = TEXTS[0] as string;
  verifying = new Set([this.first]);
  newest = this.first;
  handedOver = "";
  token = "";
  state = "none";
  overlap = "24h";
  fail: string[] = [];
  outside = false;
  completed = 0;
  #minted = 0;

  constructor(keystead: FakeKeystead) {
    keystead.on("GET /v1/rotation", this.#guarded("get", (asked) => {
      if (!this.verifying.has(asked.bearer)) return problem("invalid_token", 401);
      const isCurrent = asked.bearer === this.newest;
      return [200, { ready: ["prepared", "handed-over"].includes(this.state) && isCurrent, is_current: isCurrent, check_after: 60 }];
    }));
    keystead.on("POST /v1/rotation/next", this.#guarded("next", (asked) => {
      if (!this.verifying.has(asked.bearer)) return problem("invalid_token", 401);
      if (this.state === "activated") return problem("already_activated", 409);
      if (this.state === "none") return problem("no_rotation", 409, { check_after: 60 });
      const token = String(asked.headers["idempotency-key"]);
      if (this.token !== "" && this.token !== token) return problem("fetched_by_another", 409);
      [this.token, this.state, this.handedOver] = [token, "handed-over", TEXTS[1 + (this.#minted++ % (TEXTS.length - 1))] as string];
      return [200, { secret: this.handedOver, overlap: this.overlap }];
    }));
    keystead.on("POST /v1/rotation/activate", this.#guarded("activate", ({ bearer }) => {
      if (bearer === this.newest && this.state === "activated") return [200, { state: "activated" }];
      if (bearer !== this.handedOver || this.state !== "handed-over") return problem("invalid_token", 401);
      [this.newest, this.state] = [this.handedOver, "activated"];
      this.completed += 1;
      this.verifying = new Set(this.overlap === "now" ? [this.newest] : [this.newest, ...this.verifying]);
      return [200, { state: "activated" }];
    }));
    keystead.on("GET /api", ({ bearer }) => (this.verifying.has(bearer) ? [200, {}] : problem("invalid_token", 401)));
  }

  prepare(overlap = "24h"): void {
    [this.state, this.overlap, this.token, this.handedOver] = ["prepared", overlap, "", ""];
  }

  #guarded(name: string, door: (asked: Asked) => Answer): (asked: Asked) => Answer {
    const failing = (when: string): boolean => {
      const place = this.fail.indexOf(`${when} ${name}`);
      if (place >= 0) this.fail.splice(place, 1);
      return place >= 0;
    };
    return (asked) => {
      if (this.outside) return problem("network_not_allowed", 403);
      if (failing("before")) return problem("busy_retry", 503);
      const said = door(asked);
      return failing("after") ? [502, "the answer was lost"] : said;
    };
  }
}

test("a due rotation is fetched, activated and swapped", () =>
  withKeystead(async (keystead) => {
    const rotation = new FakeRotation(keystead);
    const credential = await RotatingCredential.open({ url: keystead.url, timeout: PATIENCE, initial: rotation.first, settling: 0 });
    assert.equal(await credential.refresh(), 60);
    rotation.prepare();
    await credential.refresh();
    assert.equal(credential.current().reveal(), rotation.newest);
    assert.notEqual(rotation.newest, rotation.first);
    assert.equal((await credential.rejected(new Secret(rotation.newest)))?.reveal(), rotation.first);
  }));

test("a refusal between a lost answer and the next try makes no second token", () =>
  withKeystead(async (keystead) => {
    const rotation = new FakeRotation(keystead);
    const credential = await RotatingCredential.open({ url: keystead.url, timeout: PATIENCE, initial: rotation.first, settling: 0 });
    rotation.prepare();
    rotation.fail = ["after next"];
    await assert.rejects(credential.refresh(), Unreachable);
    const { token } = rotation;
    rotation.outside = true; // it changed its network
    await assert.rejects(credential.refresh(), Refused);
    rotation.outside = false;
    await credential.refresh();
    assert.equal(rotation.token, token);
    assert.equal(credential.current().reveal(), rotation.newest);
    assert.equal(rotation.completed, 1);
  }));

test("what cannot be read is said in words that quote nothing of it", () =>
  withKeystead(async (keystead) => {
    const [rotation, store] = [new FakeRotation(keystead), new MemoryStore()];
    for (const text of ['{"seed": "x", "curr', "[1]", '{"seed": "x", "current": 5}', `{"current": ${TEXTS[0]}}`]) {
      await store.save(text);
      await assert.rejects(
        RotatingCredential.open({ url: keystead.url, timeout: PATIENCE, initial: rotation.first, store }),
        (error: KeysteadError) => error.code === "store_unreadable" && !error.message.includes("ks_") && error.cause === undefined,
      );
    }
    await store.save("");
    const credential = await RotatingCredential.open({ url: keystead.url, timeout: PATIENCE, initial: rotation.first, store });
    assert.equal(credential.current().reveal(), rotation.first);
  }));

test("a body that is made piece by piece is not sent a second time, empty", () =>
  withKeystead(async (keystead) => {
    const rotation = new FakeRotation(keystead);
    const credential = await RotatingCredential.open({ url: keystead.url, timeout: PATIENCE, initial: rotation.first, settling: 0 });
    rotation.prepare();
    await credential.refresh();
    const bodies: string[] = [];
    keystead.on("POST /api", ({ body }) => {
      bodies.push(JSON.stringify(body));
      return problem("invalid_token", 401);
    });
    async function* pieces(): AsyncGenerator<Uint8Array> {
      yield new TextEncoder().encode('"a"');
    }
    const init = { method: "POST", body: pieces() as unknown as BodyInit, duplex: "half" };
    assert.equal((await credential.fetch(`${keystead.url}/api`, init as RequestInit)).status, 401);
    assert.equal(bodies.length, 1);
    assert.equal((await credential.fetch(`${keystead.url}/api`, { method: "POST", body: '"b"' })).status, 401);
    assert.equal(bodies.length, 3);
  }));

test("trouble that cannot be told ends neither the watch nor the process", () =>
  withKeystead(async (keystead) => {
    const [rotation, told] = [new FakeRotation(keystead), [] as string[]];
    const onTrouble = (error: KeysteadError): void => {
      told.push(error.code);
      throw new Error("no mail today");
    };
    const options = { url: keystead.url, timeout: PATIENCE, initial: rotation.first, settling: 0, longestPause: 5, onTrouble };
    const credential = (await RotatingCredential.open(options)).start();
    rotation.verifying.clear();
    await until(() => told.length >= 3);
    await credential.close();
    assert.equal(told[2], "invalid_token");
  }));

class Crash extends Error {}

class CrashingStore extends MemoryStore {
  writesLeft = 1000;
  keeps = true;
  override async save(text: string): Promise<void> {
    this.writesLeft -= 1;
    if (this.writesLeft >= 0 || this.keeps) await super.save(text);
    if (this.writesLeft < 0) throw new Crash();
  }
}

for (const failing of [[], ["after next"], ["after activate"], ["before activate", "before next"]]) {
  for (const writes of [0, 1, 2]) {
    for (const keeps of writes === 1 ? [true, false] : [failing.length < 2]) {
      test(`a crash at write ${writes}, kept ${keeps}, with ${failing} lost, loses nothing`, () =>
        withKeystead(async (keystead) => {
          const [rotation, store] = [new FakeRotation(keystead), new CrashingStore()];
          const open = () => RotatingCredential.open({ url: keystead.url, timeout: PATIENCE, initial: rotation.first, settling: 0, store });
          const works = async (credential: RotatingCredential): Promise<boolean> =>
            (await fetch(`${keystead.url}/api`, { headers: { Authorization: `Bearer ${credential.current().reveal()}` } })).ok;
          await open();
          rotation.prepare();
          [store.writesLeft, store.keeps, rotation.fail] = [writes, keeps, [...failing]];
          for (let start = 0; start < 5; start++) {
            const credential = await open(); // the process starts again
            assert.ok(await works(credential));
            await credential.refresh().catch((error: unknown) => {
              if (error instanceof Crash) store.writesLeft = 1000;
              else if (!(error instanceof Busy || error instanceof Unreachable)) throw error;
            });
            assert.ok(await works(await open()));
          }
          assert.equal(rotation.completed, 1);
          assert.equal((await open()).current().reveal(), rotation.newest);
        }));
    }
  }
}

for (const overlap of ["24h", "now"]) {
  test(`no request fails through rotations and restarts with the overlap ${overlap}`, () =>
    withKeystead(async (keystead) => {
      const folder = await mkdtemp(join(tmpdir(), "keystead-"));
      const [rotation, store, heard] = [new FakeRotation(keystead), new FileStore(join(folder, "key")), new Set<number>()];
      for (let start = 0; start < 2; start++) {
        const options = { url: keystead.url, timeout: PATIENCE, initial: rotation.first, settling: 20, longestPause: 50, store };
        const credential = (await RotatingCredential.open(options)).start();
        let [over, answers] = [false, 0];
        const polling = (async () => {
          for (; !over; answers += 1) heard.add((await credential.fetch(`${keystead.url}/api`)).status);
        })();
        for (let turn = 0; turn < 2; turn++) {
          const done = rotation.completed;
          rotation.prepare(overlap);
          await until(() => rotation.completed > done && credential.current().reveal() === rotation.newest);
          rotation.verifying = new Set([rotation.newest]);
          // A request may meet one rotation and be sent once more; a real one takes days, and no request lasts for two.
          const before = answers;
          await until(() => answers >= before + 2);
        }
        over = true;
        await polling;
        await credential.close();
      }
      assert.deepEqual([...heard], [200]);
      assert.equal(rotation.completed, 4);
      assert.deepEqual(await readdir(folder), ["key"]);
      await rm(folder, { recursive: true });
    }));
}

test("without an overlap the old one is presented until somebody refuses it", () =>
  withKeystead(async (keystead) => {
    const rotation = new FakeRotation(keystead);
    let known = new Set([rotation.first]); // of a verifier that is a moment behind
    keystead.on("GET /api", ({ bearer }) => (known.has(bearer) ? [200, {}] : problem("invalid_token", 401)));
    const credential = await RotatingCredential.open({ url: keystead.url, timeout: PATIENCE, initial: rotation.first, settling: 30_000 });
    rotation.prepare("now");
    const step = credential.refresh();
    await until(() => rotation.completed > 0);
    assert.equal((await credential.fetch(`${keystead.url}/api`)).status, 200);
    assert.equal(credential.current().reveal(), rotation.first);
    known = new Set([rotation.newest]);
    assert.equal((await credential.fetch(`${keystead.url}/api`)).status, 200);
    await step;
    assert.equal(credential.current().reveal(), rotation.newest);
  }));

test("what only a person can settle is raised, told, and not tried again", () =>
  withKeystead(async (keystead) => {
    const [rotation, store] = [new FakeRotation(keystead), new MemoryStore()];
    const told: string[] = [];
    const options = { url: keystead.url, timeout: PATIENCE, initial: rotation.first, store, onTrouble: (error: Error) => told.push(error.message) };
    const credential = await RotatingCredential.open(options);
    rotation.prepare();
    keystead.on("POST /v1/rotation/next", problem("fetch_contested", 403));
    await assert.rejects(credential.refresh(), (error) => error instanceof Refused && error.code === "fetch_contested");
    assert.equal(JSON.parse((await store.load()) ?? "").token, "");
    credential.start();
    await until(() => told.length > 0);
    await credential.close();
  }));

test("a secret that was fetched by somebody else is not passed over in silence", () =>
  withKeystead(async (keystead) => {
    const rotation = new FakeRotation(keystead);
    const open = (): Promise<RotatingCredential> => RotatingCredential.open({ url: keystead.url, timeout: PATIENCE, initial: rotation.first, settling: 0 });
    const [mine, theirs] = [await open(), await open()];
    rotation.prepare();
    await theirs.refresh();
    await assert.rejects(mine.refresh(), (error) => error instanceof Refused && error.code === "superseded");
  }));

test("the file is for its owner alone", async () => {
  const folder = await mkdtemp(join(tmpdir(), "keystead-"));
  const [path, store] = [join(folder, "key"), new FileStore(join(folder, "key"))];
  assert.equal(await store.load(), undefined);
  await store.save("x");
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  await chmod(path, 0o640);
  await assert.rejects(store.load(), Unsafe);
  await rm(folder, { recursive: true });
});

test("what a killed writer left is removed by the next one, and nothing else", async () => {
  const folder = await mkdtemp(join(tmpdir(), "keystead-"));
  const [path, store, long] = [join(folder, "key.1"), new FileStore(join(folder, "key.1")), new Date(1000)];
  const child = `
    import { syncBuiltinESMExports } from "node:module";
    import promises from "node:fs/promises";
    promises.rename = () => process.kill(process.pid, "SIGKILL");
    syncBuiltinESMExports();
    const { FileStore } = await import(${JSON.stringify(new URL("../src/index.js", import.meta.url).href)});
    await new FileStore(${JSON.stringify(path)}).save("the secret of who was killed");`;
  assert.equal(spawnSync(process.execPath, ["--input-type=module", "--eval", child]).signal, "SIGKILL");
  const [left] = (await readdir(folder)) as [string];
  assert.match(await readFile(join(folder, left), "utf8"), /secret/);
  await store.save("x");
  assert.deepEqual((await readdir(folder)).sort(), [left, "key.1"].sort(), "somebody may be writing it at this moment");

  const others = [".key.2.abcdefgh.unfinished", ".keyx1.abcdefgh.unfinished", ".key.1.original", ".key.1.abc.def.g.unfinished",
    ".key.1.unfinished", ".key.1.abcdefgh.unfinished.txt"];
  for (const each of others) await writeFile(join(folder, each), "x");
  await mkdir(join(folder, ".key.1.aaaaaaaa.unfinished"));
  await symlink(join(folder, others[0] as string), join(folder, ".key.1.bbbbbbbb.unfinished"));
  others.push(".key.1.aaaaaaaa.unfinished", ".key.1.bbbbbbbb.unfinished");
  if (process.getuid?.() === 0) {
    others.push(".key.1.cccccccc.unfinished");
    await writeFile(join(folder, ".key.1.cccccccc.unfinished"), "x");
    await chown(join(folder, ".key.1.cccccccc.unfinished"), 12345, 0);
  }
  for (const each of [left, ...others]) await lutimes(join(folder, each), long, long);
  await store.save("y");
  assert.deepEqual((await readdir(folder)).sort(), ["key.1", ...others].sort());
  assert.equal(await store.load(), "y");
  await rm(folder, { recursive: true });
});

test("a pause that is none has Keystead asked no more often than else", () =>
  withKeystead(async (keystead) => {
    const nothing = { ready: false, is_current: true };
    const answers: Answer[] = [
      ...[0, -5, "soon", {}, 1e300].map((check_after): Answer => [200, { ...nothing, check_after }]),
      [200, nothing], [200, null],
      ...[0, -5].map((retry_after) => problem("busy_retry", 503, { retry_after })),
    ];
    for (const answer of answers) {
      keystead.on("GET /v1/rotation", answer);
      const options = { url: keystead.url, timeout: PATIENCE, initial: TEXTS[0]!, longestPause: Infinity };
      const credential = (await RotatingCredential.open(options)).start();
      assert.ok((await timesMeanwhile(keystead, "/v1/rotation")) < 40, JSON.stringify(answer));
      await credential.close();
    }
  }));

test("a step that another request still takes is tried again, and nobody is told", () =>
  withKeystead(async (keystead) => {
    const rotation = new FakeRotation(keystead);
    const credential = await RotatingCredential.open({ url: keystead.url, timeout: PATIENCE, initial: rotation.first, settling: 0 });
    rotation.prepare();
    keystead.on("POST /v1/rotation/next", problem("idempotency_in_progress", 409));
    await assert.rejects(credential.refresh(), Busy);
  }));

test("a program that does nothing else ends the step that it began", () =>
  withKeystead(async (keystead) => {
    const rotation = new FakeRotation(keystead);
    rotation.prepare();
    const folder = await mkdtemp(join(tmpdir(), "keystead-"));
    const path = join(folder, "key");
    const program = `
      import { FileStore, RotatingCredential } from ${JSON.stringify(new URL("../src/index.js", import.meta.url).href)};
      const [url, initial, path] = ${JSON.stringify([keystead.url, rotation.first, path])};
      const credential = await RotatingCredential.open({ url, initial, timeout: ${PATIENCE}, settling: 300, store: new FileStore(path) });
      await credential.refresh();`;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", program], { stdio: "inherit" });
    assert.deepEqual(await once(child, "exit"), [0, null]);
    assert.equal(JSON.parse(await readFile(path, "utf8")).current, rotation.newest);
    await rm(folder, { recursive: true });
  }));

test("a refusal whose words have no end, or are cut, holds up no request", () =>
  withKeystead(async (keystead) => {
    const rotation = new FakeRotation(keystead);
    const [old, other] = TEXTS as [string, string];
    let isOver = false;
    for (const going of [(): void => undefined, (response: ServerResponse): void => void response.destroy()]) {
      const refusing = (response: ServerResponse): void => {
        response.on("close", () => (isOver = true));
        response.write("x", () => going(response));
      };
      keystead.on("GET /api", ({ bearer }) => (bearer === other ? [200, {}] : [401, refusing]));
      const held = { seed: parse(old).kid, current: old, previous: other };
      const store = new MemoryStore();
      await store.save(JSON.stringify(held));
      const credential = await RotatingCredential.open({ url: keystead.url, timeout: PATIENCE, initial: rotation.first, store });
      assert.equal((await credential.fetch(`${keystead.url}/api`, { signal: AbortSignal.timeout(PATIENCE) })).status, 200);
      await until(() => isOver);
      isOver = false;
      await credential.close();
    }
  }));

test("a file that somebody else put there is not believed", async () => {
  const folder = await mkdtemp(join(tmpdir(), "keystead-"));
  const store = new FileStore(join(folder, "key"));
  await new FileStore(join(folder, "elsewhere")).save("x");
  await symlink(join(folder, "elsewhere"), join(folder, "key"));
  await assert.rejects(store.load());
  await store.save("y");
  assert.equal(await store.load(), "y");
  if (process.getuid?.() === 0) {
    await chown(join(folder, "key"), 12345, 0);
    await assert.rejects(store.load(), Unsafe);
  }
  await rm(folder, { recursive: true });
});
