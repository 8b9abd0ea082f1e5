/**
 * Marks in a trace of system calls. This is a module of its own, so that a traced child
 * does not look for strace, which would add half a second to its start-up.
 *
 * @module
 */

import { accessSync } from "node:fs";

/** Makes a system call that has no effect, but can be found in a trace. */
export function mark(what: "begins" | "ends"): void {
  try {
    accessSync(`/memmap-test-${what}`);
  } catch {
    // There is no such file.
  }
}
