/**
 * What the core may ask of the operating system, in plain TypeScript types.
 *
 * Files are opened, sized, written and renamed through `node:fs`; what is here
 * is only what no runtime offers. Addresses and lengths are numbers: a user
 * address has at most 52 bits on the supported architectures, so each is a safe
 * integer. Nothing here throws; each call answers as the C function does, and
 * `errno()` explains a failure when read in the very next call.
 *
 * This file must not know any runtime. `ffi/mod.ts` says which backend to use.
 *
 * @module
 */

/** The numbers that `<sys/mman.h>` and `<unistd.h>` give to their names. */
export interface Constants {
  readonly PROT_READ: number;
  readonly PROT_WRITE: number;
  readonly MAP_SHARED: number;
  readonly MAP_PRIVATE: number;
  readonly MAP_FIXED: number;
  readonly MAP_ANONYMOUS: number;
  readonly MAP_NORESERVE: number;
  readonly MS_SYNC: number;
  readonly MADV_NORMAL: number;
  readonly MADV_RANDOM: number;
  readonly MADV_SEQUENTIAL: number;
  readonly MADV_WILLNEED: number;
  readonly MADV_DONTNEED: number;
  readonly SEEK_DATA: number;
  readonly SEEK_HOLE: number;
}

/** The C library, as far as memory-mapped files need it. */
export interface Libc {
  readonly constants: Constants;
  /** Bytes in a page of memory: 4096 mostly, 16384 on Apple silicon. */
  readonly pageSize: number;
  /** Bytes in the largest ArrayBuffer of this runtime. */
  readonly maxBufferLength: number;
  /** The name of an errno, `"ENOENT"`; `undefined` for a number unknown here. */
  errnoName(errno: number): string | undefined;

  /** `-1` on failure. */
  mmap(
    address: number,
    length: number,
    protection: number,
    flags: number,
    fd: number,
    offset: number,
  ): number;
  munmap(address: number, length: number): number;
  msync(address: number, length: number, flags: number): number;
  madvise(address: number, length: number, advice: number): number;

  /** The address of the first occurrence, or 0. */
  memmem(
    haystack: number,
    haystackLength: number,
    needle: Uint8Array,
    needleLength: number,
  ): number;
  memmove(target: number, source: number, length: number): void;
  memset(address: number, byte: number, length: number): void;
  memcmp(a: number, b: number, length: number): number;

  lseek(fd: number, offset: number, whence: number): number;
  /** Answers the error number itself, 0 for success. `null` where the system has none (macOS). */
  readonly posix_fallocate:
    | ((fd: number, offset: number, length: number) => number)
    | null;
  /**
   * Copies inside the kernel; offsets are explicit. Answers the bytes copied,
   * or -1. `null` where the system has none (macOS).
   */
  readonly copy_file_range:
    | ((
      source: number,
      sourceOffset: number,
      target: number,
      targetOffset: number,
      length: number,
    ) => number)
    | null;

  /** The calling thread's errno. Only right in the call that follows the failure. */
  errno(): number;

  /**
   * An ArrayBuffer over the `length` bytes at `address`: no copy, and no
   * ownership. Sound only while those bytes stay mapped, which is
   * `src/mapping.ts`'s business alone.
   */
  arrayBuffer(address: number, length: number): ArrayBuffer;

  /**
   * Reverses each element of `width` bytes (2, 4 or 8) where it is; `bytes` has a
   * whole number of them, at any alignment. `null` where the runtime has nothing
   * native for that.
   */
  readonly swapInPlace: ((bytes: Uint8Array, width: number) => void) | null;
}

/**
 * This runtime, operating system or architecture has no backend.
 *
 * Importing memmap never throws it; opening a file does.
 */
export class UnsupportedError extends Error {
  /** `"UnsupportedError"`. */
  override name = "UnsupportedError";
  /** Always `"ERR_MEMMAP_UNSUPPORTED"`. */
  readonly code = "ERR_MEMMAP_UNSUPPORTED";
}

let load: (() => Libc) | undefined;
let loaded: Libc | undefined;

/** Says how to come by the C library; called once by `ffi/mod.ts`. */
export function provideLibc(loader: () => Libc): void {
  load = loader;
  loaded = undefined;
}

/**
 * The C library of this process, loaded at first use.
 *
 * @throws {UnsupportedError} if there is no backend for this runtime or system.
 */
export function libc(): Libc {
  if (loaded !== undefined) return loaded;
  if (load === undefined) {
    throw new UnsupportedError("No C library: import mod.ts, not src/ alone.");
  }
  loaded = load();
  return loaded;
}
