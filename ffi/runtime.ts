/**
 * What the core may ask of the JavaScript runtime, in plain TypeScript types.
 *
 * Must not know any particular runtime: `ffi/mod.ts` picks the backend. What the
 * C library offers is in `libc.ts`.
 *
 * @module
 */

import { UnsupportedError } from "./unsupported.ts";

/**
 * Calls of the C library that another thread of the runtime makes while this one goes
 * on. Each gives what the C function returns. Why one returned -1 nobody can say, since
 * `errno` is that thread's: ask again on this one. Memory at an address must stay
 * mapped until the promise settles.
 *
 * `null` where the system lacks the function.
 */
export interface Elsewhere {
  readonly pwrite:
    | ((
      fd: number,
      address: number,
      length: number,
      offset: number,
    ) => Promise<number>)
    | null;
  readonly copy_file_range:
    | ((
      source: number,
      sourceOffset: number,
      target: number,
      targetOffset: number,
      length: number,
    ) => Promise<number>)
    | null;
  readonly fallocate:
    | ((
      fd: number,
      mode: number,
      offset: number,
      length: number,
    ) => Promise<number>)
    | null;
  readonly sync_file_range:
    | ((
      fd: number,
      offset: number,
      length: number,
      flags: number,
    ) => Promise<number>)
    | null;
  /**
   * Has the last reference to an open file closed. Returns a descriptor of the same
   * file, which {@linkcode close} takes once the runtime has closed its own: -1 if
   * there is no room for it.
   */
  readonly dup: ((fd: number) => number) | null;
  /** Only for what {@linkcode dup} returned: a runtime keeps account of its own. */
  readonly close: ((fd: number) => Promise<number>) | null;
}

/** The runtime's own facts, as far as memory-mapped files need them. */
export interface Runtime {
  /** Bytes in the largest ArrayBuffer. */
  readonly maxBufferLength: number;
  /**
   * Does the runtime refuse to detach an ArrayBuffer that an asynchronous operation
   * is using? Where it does not, the operation carries on with the memory.
   */
  readonly pinsBuffers: boolean;

  /**
   * Makes an ArrayBuffer over the `length` bytes at `address`, without a copy and
   * without ownership. Sound only while those bytes stay mapped, which only
   * `src/memory/` decides.
   */
  arrayBuffer(address: number, length: number): ArrayBuffer;

  /**
   * Returns the address of a large typed array's bytes. It stays right while the
   * array is attached: engines move only small arrays, which live in their own heap.
   */
  addressOf(bytes: Uint8Array): number;

  /**
   * Reverses each element of `width` bytes (2, 4 or 8) in place; `bytes` holds a
   * whole number of elements, at any alignment. `null` where the runtime has no
   * native way.
   */
  readonly swapInPlace: ((bytes: Uint8Array, width: number) => void) | null;

  /**
   * Has the lock of an open file (`flock`) released when this thread ends, unless the
   * returned function is called first. `null` where that is not needed or cannot be
   * done: Deno lets a worker finish what it is doing, while Bun stops it between any
   * two steps, and leaves its descriptors open.
   */
  readonly unlockAtEnd: ((fd: number) => () => void) | null;

  /**
   * Calls on another thread, looked up when they are asked for. `null` where the
   * runtime has no such calls (Bun): its `node:fs` has to do.
   */
  readonly elsewhere: (() => Elsewhere) | null;

  /**
   * Does the runtime let this process read, or write, what is at `path`, without
   * asking anyone? The system may still refuse. Always true in Bun. With `wholly`,
   * everything inside that folder must be allowed too.
   */
  mayUse(path: string, access: "read" | "write", wholly?: boolean): boolean;
}

let load: (() => Runtime) | undefined;
let loaded: Runtime | undefined;

/** Sets how the runtime's side is loaded; `ffi/mod.ts` calls it once. */
export function provideRuntime(loader: () => Runtime): void {
  load = loader;
  loaded = undefined;
}

/**
 * Returns this process's runtime, loaded at first use.
 *
 * @throws {UnsupportedError} if there is no backend for this runtime or system.
 */
export function runtime(): Runtime {
  if (loaded !== undefined) return loaded;
  if (load === undefined) {
    throw new UnsupportedError("No runtime: import mod.ts, not src/ alone.");
  }
  loaded = load();
  return loaded;
}
