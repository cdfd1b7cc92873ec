/** Keeps what a rotating credential must not forget: in memory, or in a file that only its owner reads. */

import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { lstat, open, readdir, rename, rm, type FileHandle } from "node:fs/promises";
import { dirname, join, basename } from "node:path";

import { Unsafe } from "./errors.js";

const UNFINISHED = ".unfinished";
const LONGEST_WRITING = 600_000; // milliseconds; whoever writes for longer was killed

export interface Store {
  /** What was saved last; undefined when nothing was. */
  load(): Promise<string | undefined>;
  /** Keeps the text; when this resolves, a power cut does not lose it. */
  save(text: string): Promise<void>;
}

/** Keeps it while the process lives. */
export class MemoryStore implements Store {
  #text: string | undefined;

  async load(): Promise<string | undefined> {
    return this.#text;
  }

  async save(text: string): Promise<void> {
    this.#text = text;
  }
}

/** Keeps it in a file with mode 0600, replaced as a whole. One process a file: Node has no lock that others would respect. */
export class FileStore implements Store {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async load(): Promise<string | undefined> {
    let file: FileHandle;
    try {
      file = await open(this.#path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0)); // Windows has none
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
    try {
      const { mode, uid } = await file.stat();
      const isOurs = [process.geteuid?.(), 0].includes(uid);
      if (process.platform !== "win32" && (mode & 0o077 || !isOurs)) {
        throw new Unsafe(`${this.#path} can be read by others: chmod 600 it, and rotate the key.`, "unsafe");
      }
      return await file.readFile("utf8");
    } finally {
      await file.close();
    }
  }

  async save(text: string): Promise<void> {
    const folder = dirname(this.#path);
    const temporary = join(folder, `.${basename(this.#path)}.${randomBytes(6).toString("hex")}${UNFINISHED}`);
    try {
      await written(await open(temporary, "wx", 0o600), (file) => file.writeFile(text));
      await rename(temporary, this.#path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
    if (process.platform === "win32") return;
    await removeUnfinished(folder, `.${basename(this.#path)}.`).catch(() => undefined); // what is asked for is written
    await written(await open(folder, "r"));
  }
}

async function written(file: FileHandle, write?: (file: FileHandle) => Promise<void>): Promise<void> {
  try {
    await write?.(file);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Removes what writers of this file left that were killed in the middle: it holds a secret, and nobody would ever look for it. */
async function removeUnfinished(folder: string, begin: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!name.startsWith(begin) || !/^[a-z0-9_]{8,12}\.unfinished$/.test(name.slice(begin.length))) continue;
    const found = await lstat(join(folder, name));
    if (found.isFile() && found.uid === process.geteuid?.() && found.mtimeMs < Date.now() - LONGEST_WRITING) {
      await rm(join(folder, name), { force: true });
    }
  }
}
