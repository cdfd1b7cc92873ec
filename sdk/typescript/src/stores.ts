/** Keeps what a rotating credential must not forget: in memory, or in a file that only its owner reads. */

import { randomBytes } from "node:crypto";
import { open, rename, rm, type FileHandle } from "node:fs/promises";
import { dirname, join, basename } from "node:path";

import { Unsafe } from "./errors.js";

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
      file = await open(this.#path, "r");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
    try {
      const { mode } = await file.stat();
      if (process.platform !== "win32" && mode & 0o077) {
        throw new Unsafe(`${this.#path} can be read by others: chmod 600 it, and rotate the key.`, "unsafe");
      }
      return await file.readFile("utf8");
    } finally {
      await file.close();
    }
  }

  async save(text: string): Promise<void> {
    const folder = dirname(this.#path);
    const temporary = join(folder, `.${basename(this.#path)}.${randomBytes(6).toString("hex")}`);
    try {
      await written(await open(temporary, "wx", 0o600), (file) => file.writeFile(text));
      await rename(temporary, this.#path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
    if (process.platform !== "win32") await written(await open(folder, "r"));
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
