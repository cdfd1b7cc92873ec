/** What a thread beside the main one tells of its attempt to have a memory of nonces. */

import { parentPort } from "node:worker_threads";

import { KeysteadError, MemoryNonces } from "../src/index.js";

try {
  new MemoryNonces();
  parentPort?.postMessage("made");
} catch (error) {
  parentPort?.postMessage((error as KeysteadError).code);
}
