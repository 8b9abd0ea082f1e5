/**
 * Long calls, made while the event loop goes on.
 *
 * Deno makes them on another thread through its FFI, Bun through the callbacks of
 * `node:fs`. Each settles when the call is over. Those of them that the runtime has no
 * way to make elsewhere are `null`, and whoever wants one makes it in small pieces, or
 * on this thread.
 *
 * The tests provide calls that are made at once, so that a process that is killed at
 * one of them is killed at the same one each time.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { setImmediate } from "node:timers";
import { type Elsewhere, type Runtime, runtime } from "../../ffi/mod.ts";
import { type Abort, sleep } from "../base/mod.ts";

/** Bytes that one call writes from memory, where node:fs makes it. */
const WRITTEN = 2 ** 23;
/** Milliseconds after which the event loop has its turn. */
const SLICE = 8;

/** What is done later. A number returned by the C library may be -1. */
export interface Later {
  fsync(fd: number): Promise<void>;
  ftruncate(fd: number, size: number): Promise<void>;
  close(fd: number): Promise<void>;
  /** Writes some of `bytes`, and gives how many; -1 where nobody knows why it failed. */
  write(fd: number, bytes: Uint8Array, position: number): Promise<number>;
  readonly copyFileRange: Elsewhere["copy_file_range"];
  readonly fallocate: Elsewhere["fallocate"];
  readonly syncFileRange: Elsewhere["sync_file_range"];
  /** Has the event loop waited for long enough since that time? */
  isDue(since: number): boolean;
  /** Lets the event loop do what is due. */
  turn(): Promise<void>;
}

/** As the runtime has it. */
function ofRuntime({ elsewhere: look, addressOf }: Runtime): Later {
  const elsewhere = look?.();
  const pwrite = elsewhere?.pwrite;
  return {
    fsync: (fd) => called((done) => fs.fsync(fd, done)),
    ftruncate: (fd, size) => called((done) => fs.ftruncate(fd, size, done)),
    // Sound: the bytes are memory of a mapping, which is kept through the call.
    write: pwrite
      ? (fd, bytes, position) =>
        pwrite(fd, addressOf(bytes), bytes.length, position)
      : (fd, bytes, position) =>
        new Promise((resolve, reject) =>
          fs.write(
            fd,
            Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
            0,
            Math.min(bytes.length, WRITTEN),
            position,
            (error, count) => error ? reject(error) : resolve(count),
          )
        ),
    async close(fd) {
      if (elsewhere === undefined) {
        return await called((done) => fs.close(fd, done));
      }
      // Deno keeps account of its descriptors, and closes them on this thread. The file
      // goes with the last of them.
      const { dup, close } = elsewhere;
      const other = dup !== null && close !== null ? dup(fd) : -1;
      fs.closeSync(fd);
      if (other !== -1) await close!(other);
    },
    copyFileRange: elsewhere?.copy_file_range ?? null,
    fallocate: elsewhere?.fallocate ?? null,
    syncFileRange: elsewhere?.sync_file_range ?? null,
    isDue: (since) => performance.now() - since >= SLICE,
    turn: () => new Promise((resolve) => void setImmediate(resolve)),
  };
}

/** Makes a promise of a call that takes a callback. */
function called(
  call: (done: (error?: Error | null) => void) => void,
): Promise<void> {
  return new Promise((resolve, reject) =>
    call((error) => error ? reject(error) : resolve())
  );
}

let provided: Later | undefined;
let found: { readonly later: Later; readonly of: Runtime } | undefined;

/** Sets what {@linkcode later} returns, for tests; `undefined`: the runtime's own again. */
export function provideLater(other: Later | undefined): void {
  provided = other;
}

/** How this process makes long calls. */
export function later(): Later {
  if (provided !== undefined) return provided;
  const of = runtime();
  if (found?.of !== of) found = { later: ofRuntime(of), of };
  return found.later;
}

/** Waits for a promise, or until aborted: throws the reason then. */
export async function unlessAborted(
  promise: Promise<void>,
  abort: Abort,
): Promise<void> {
  let isOver = false;
  const ended = promise.then(() => {
    isOver = true;
  });
  for (let wait = WAITS.first; !isOver; wait = Math.min(wait * 2, WAITS.last)) {
    abort.check();
    await Promise.race([ended, sleep(wait)]);
  }
}

/** How long to wait between two looks at what somebody else holds, in milliseconds. */
const WAITS = { first: 1, last: 50 };

/**
 * Calls `attempt` again and again until it returns something, and lets the event loop
 * go on in between. `abort` ends the waiting.
 */
export async function whenever<T>(
  attempt: () => T | undefined,
  abort: Abort | undefined,
): Promise<T> {
  for (let wait = WAITS.first;; wait = Math.min(wait * 2, WAITS.last)) {
    abort?.check();
    const result = attempt();
    if (result !== undefined) return result;
    await sleep(wait);
  }
}
