/**
 * What the core may ask of the JavaScript runtime, in plain TypeScript types.
 *
 * Must not know any particular runtime: `ffi/mod.ts` picks the backend. What the
 * C library offers is in `libc.ts`.
 *
 * @module
 */

import { UnsupportedError } from "./unsupported.ts";

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
