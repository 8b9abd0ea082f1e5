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

/** A descriptor that is locked, or about to be. */
export interface Held {
  readonly fd: number;
  /** What keeps it from staying so when its thread is stopped. */
  readonly end: (() => void) | undefined;
  /** Is it meant to be locked once this task is over? */
  readonly lasts: boolean;
}

const held = new Map<number, Held>();
/** Of descriptors that are not locked now, and will be again: what ends with their thread. */
const resting = new Map<number, () => void>();

/** Where those go that are locked now, to be unlocked in a later task. */
let lasting: Set<Held> | undefined;

/**
 * From now on, what is locked stays so when this task is over, and is added to `list`:
 * should its work never go on, {@linkcode unlockAll} lets go of it. Returns where locks
 * went before, to be set again when it is another's turn.
 */
export function listLocks(list: Set<Held> | undefined): Set<Held> | undefined {
  const before = lasting;
  lasting = list;
  return before;
}

/** Has what `part` locks added to `list`, as {@linkcode listLocks} does. */
export function keepingLocks<T>(list: Set<Held>, part: () => T): T {
  const before = listLocks(list);
  try {
    return part();
  } finally {
    listLocks(before);
  }
}

/** The list of the work whose part runs now, for parts of it that nobody else runs. */
export function locksOfPart(): Set<Held> {
  return lasting ?? new Set();
}

/** Lets go of what is still locked of a list, whose work was stopped from outside. */
export function unlockAll(list: Iterable<Held>): void {
  for (const one of list) if (held.get(one.fd) === one) unlock(one.fd);
}

/**
 * Locks a file for this thread, without waiting; `isShared` with others who share it.
 * Returns `undefined` once it is locked; otherwise why not, see {@linkcode isHeld}. Call
 * {@linkcode unlock} before the descriptor is closed.
 */
export function tryLock(
  fd: number,
  path: string,
  isShared: boolean = false,
): SystemError | undefined {
  const c = libc();
  const { LOCK_EX, LOCK_NB, LOCK_SH } = c.constants;
  const operation = (isShared ? LOCK_SH : LOCK_EX) | LOCK_NB;
  // All of this first: the thread, or its script, may be stopped at any moment.
  if (lasting === undefined) watchStopped();
  const end = resting.get(fd) ?? runtime().unlockAtEnd?.(fd);
  resting.delete(fd);
  const one = { fd, end, lasts: lasting !== undefined };
  held.set(fd, one);
  lasting?.add(one);
  for (;;) {
    // Sound: a descriptor that the caller holds open; no memory is involved.
    if (c.flock(fd, operation) === 0) return undefined;
    const error = errnoError(c.errno(), "flock", path);
    if (error.code === "EINTR") continue;
    held.delete(fd);
    lasting?.delete(one);
    end?.();
    return error;
  }
}

/** Is {@linkcode unlockStopped} to run after this task? */
let isWatched = false;

function watchStopped(): void {
  if (isWatched) return;
  queueMicrotask(unlockStopped);
  isWatched = true; // last: a script may be stopped in between
}

/**
 * Lets go of what a script had locked that was stopped, as `node:vm` can stop one between
 * any two steps: no `finally` of it has run. Whoever holds a lock that is not to last has
 * let go of it before microtasks run, since nobody waits for anything in between.
 */
function unlockStopped(): void {
  isWatched = false;
  for (const { fd, lasts } of held.values()) if (!lasts) unlock(fd);
}

/**
 * Lets go of the lock. A file that was not locked stays so. `isKept`: it will be locked
 * again, and this is called once more before the descriptor is closed.
 */
export function unlock(fd: number, isKept = false): void {
  const one = held.get(fd);
  if (one !== undefined) {
    const c = libc();
    // Sound: as above. There is nothing to do where it fails, but for closing the
    // file, which is for whoever opened it.
    c.flock(fd, c.constants.LOCK_UN);
    if (one.end !== undefined) resting.set(fd, one.end);
    held.delete(fd);
  }
  if (isKept || resting.size === 0) return;
  resting.get(fd)?.();
  resting.delete(fd);
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
