/**
 * Locks on open files, by `flock`.
 *
 * A lock belongs to the open file description: it keeps out every other `open` of
 * the file, in this process too, and ends with the process.
 *
 * @module
 */

import { libc } from "../../ffi/mod.ts";
import { errnoError, type SystemError } from "../base/mod.ts";

/**
 * Locks a file for this process, without waiting. Returns `undefined` once it is
 * locked; otherwise why not, see {@linkcode isHeld}.
 */
export function tryLock(fd: number, path: string): SystemError | undefined {
  const c = libc();
  const { LOCK_EX, LOCK_NB } = c.constants;
  for (;;) {
    // Sound: a descriptor that the caller holds open; no memory is involved.
    if (c.flock(fd, LOCK_EX | LOCK_NB) === 0) return undefined;
    const error = errnoError(c.errno(), "flock", path);
    if (error.code !== "EINTR") return error;
  }
}

/** Does somebody else hold the lock? Otherwise the file system has none. */
export function isHeld(refusal: SystemError): boolean {
  return refusal.code === "EAGAIN";
}
