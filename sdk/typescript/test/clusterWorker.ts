/** What a worker of a cluster tells of its attempt to have a memory of nonces. */

import { KeysteadError, MemoryNonces } from "../src/index.js";

try {
  new MemoryNonces();
  process.send?.("made");
} catch (error) {
  process.send?.((error as KeysteadError).code);
}
process.disconnect?.();
