/**
 * Marks in a trace of system calls. A module of its own: a traced child imports
 * nothing that looks for strace, which would cost it half a second of start-up.
 *
 * @module
 */

import { accessSync } from "node:fs";

/** Makes a system call that has no effect and that a trace can be searched for. */
export function mark(what: "begins" | "ends"): void {
  try {
    accessSync(`/memmap-test-${what}`);
  } catch {
    // There is no such file.
  }
}
