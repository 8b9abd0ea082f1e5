/**
 * Locks on open files, by `flock`.
 *
 * A lock belongs to the open file description: it keeps out every other `open` of
 * the file, in this process too, and ends with the process.
 *
 * @module
 */

import { libc, runtime } from "../../ffi/mod.ts";
import { errnoError, type SystemError } from "../base/mod.ts";

/**
 * Descriptors that are locked, or about to be, and what keeps each from staying so when
 * its thread is stopped.
 */
const held = new Map<number, (() => void) | undefined>();

/**
 * Locks a file for this thread, without waiting. Returns `undefined` once it is
 * locked; otherwise why not, see {@linkcode isHeld}. Call {@linkcode unlock} before
 * the descriptor is closed.
 */
export function tryLock(fd: number, path: string): SystemError | undefined {
  const c = libc();
  const { LOCK_EX, LOCK_NB } = c.constants;
  // All of this first: the thread, or its script, may be stopped at any moment.
  queueMicrotask(unlockStopped);
  const end = runtime().unlockAtEnd?.(fd);
  held.set(fd, end);
  for (;;) {
    // Sound: a descriptor that the caller holds open; no memory is involved.
    if (c.flock(fd, LOCK_EX | LOCK_NB) === 0) return undefined;
    const error = errnoError(c.errno(), "flock", path);
    if (error.code === "EINTR") continue;
    held.delete(fd);
    end?.();
    return error;
  }
}

/**
 * Lets go of what a script had locked that was stopped, as `node:vm` can stop one between
 * any two steps: no `finally` of it has run. Whoever holds a lock has let go of it before
 * microtasks run, since nobody waits for anything in between.
 */
function unlockStopped(): void {
  for (const fd of held.keys()) unlock(fd);
}

/** Lets go of the lock. A file that was not locked stays so. */
export function unlock(fd: number): void {
  if (!held.has(fd)) return;
  const c = libc();
  // Sound: as above. There is nothing to do where it fails, but for closing the
  // file, which is for whoever opened it.
  c.flock(fd, c.constants.LOCK_UN);
  held.get(fd)?.();
  held.delete(fd);
}

/** How often to try to have a lock. The last is 60 ms after the first. */
const ATTEMPTS = 6;
/** For waiting: nobody ever wakes who waits here. */
const NEVER_WOKEN = new Int32Array(new SharedArrayBuffer(4));

/**
 * Calls `attempt` until it returns something, for a moment: a lock may be held by one
 * who only looks at the file, or is just done with it.
 */
export function patiently<T>(attempt: () => T | undefined): T | undefined {
  for (let tries = 0; tries < ATTEMPTS; tries++) {
    if (tries > 1) pause(2 ** tries);
    const result = attempt();
    if (result !== undefined) return result;
  }
  return undefined;
}

/** Blocks this thread for so many milliseconds. */
export function pause(milliseconds: number): void {
  Atomics.wait(NEVER_WOKEN, 0, 0, milliseconds);
}

/** Does somebody else hold the lock? Otherwise the file system does not support locks. */
export function isHeld(refusal: SystemError): boolean {
  return refusal.code === "EAGAIN";
}
