/**
 * What the core may ask of the C library, in plain TypeScript types.
 *
 * Files are opened, sized, written and renamed through `node:fs`; here is only what
 * no runtime offers. Addresses and lengths are numbers: a user address has at most
 * 52 bits on the supported architectures, so each is a safe integer. Nothing here
 * throws: each call returns what the C function returns, and `errno()` explains the
 * last one that returned -1.
 *
 * Must not know any runtime: `ffi/mod.ts` picks the backend. What the runtime itself
 * offers is in `runtime.ts`.
 *
 * @module
 */

import type { ErrnoName } from "./errno.ts";
import { UnsupportedError } from "./unsupported.ts";

/** The constants of `<sys/mman.h>`, `<unistd.h>`, `<sys/file.h>` and `<fcntl.h>`. */
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
  /** These are `undefined` where the system has none (macOS). */
  readonly MADV_HUGEPAGE: number | undefined;
  readonly MADV_COLD: number | undefined;
  readonly MADV_PAGEOUT: number | undefined;
  readonly SEEK_DATA: number;
  readonly SEEK_HOLE: number;
  readonly LOCK_SH: number;
  readonly LOCK_EX: number;
  readonly LOCK_NB: number;
  readonly LOCK_UN: number;
  /** Linux only, as are the calls that take these. */
  readonly SYNC_FILE_RANGE_WRITE: number;
  readonly FALLOC_FL_KEEP_SIZE: number;
  readonly FALLOC_FL_PUNCH_HOLE: number;
  readonly FALLOC_FL_UNSHARE_RANGE: number;
}

/**
 * Extended attributes of an open file. A name is bytes that end with a NUL; a value
 * is any bytes, as many as its view has. Each call returns -1 on failure.
 */
export interface AttributeCalls {
  /** Fills `names` with all names, one after another. Returns their bytes, for `null` too. */
  flistxattr(fd: number, names: Uint8Array | null): number;
  /** Fills `value`. Returns its bytes, for `null` too. */
  fgetxattr(fd: number, name: Uint8Array, value: Uint8Array | null): number;
  /** Creates the attribute, or replaces its value. */
  fsetxattr(fd: number, name: Uint8Array, value: Uint8Array): number;
  fremovexattr(fd: number, name: Uint8Array): number;
}

/** A range of memory under the {@linkcode Guard}. */
export interface GuardedRange {
  /** One element: how often a page was lost and replaced. Reading it costs one load. */
  readonly faults: Int32Array;
  /** Returns the offset of the first lost page in the range, in bytes; only right after a fault. */
  firstFault(): number;
  /** Is the handler still installed, rather than another one in its place? */
  isActive(): boolean;
  /** Ends the guard; call it once, before the range is unmapped. */
  end(): void;
}

/** Keeps the process alive when a page of a mapped file is lost; see `guard/`. */
export interface Guard {
  /**
   * Guards mapped memory: from then on a lost page of it reads as zeros. Returns
   * `null` where the system refuses, or where too many ranges are guarded already.
   */
  watch(address: number, length: number): GuardedRange | null;
  /** Is there a guard? Installs it if nobody has. */
  isThere(): boolean;
  /** One element that all threads share, once there is a guard: mappings kept by `quarantine.ts`. */
  readonly waiting: Int32Array | null;
}

/** The C library, as far as memory-mapped files need it. */
export interface Libc {
  readonly constants: Constants;
  /** Bytes in a page of memory: mostly 4096, and 16384 on Apple silicon. */
  readonly pageSize: number;

  /** What errno was right after the last of these calls that returned -1. */
  errno(): number;
  /** The name of an errno, such as `"ENOENT"`; `undefined` for an unknown number. */
  errnoName(errno: number): string | undefined;
  /** The errno of a name on this system; `undefined` where it has no such error. */
  errnoNumber(name: ErrnoName): number;
  errnoNumber(name: string): number | undefined;

  /** Returns -1 on failure. */
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
  /**
   * Sets the lowest bit of one byte of `pages` for each page that is in memory, and
   * clears it for the others. `pages` has as many bytes as the range has pages.
   */
  mincore(address: number, length: number, pages: Uint8Array): number;

  /** Returns the address of the first occurrence, or 0. */
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
  /**
   * Locks belong to the open file description: they keep out other `open`s of the
   * same file, in this process too. Blocks the thread without `LOCK_NB`; with it, a
   * lock held elsewhere is `EAGAIN`, also called `EWOULDBLOCK`.
   */
  flock(fd: number, operation: number): number;
  /** Returns the error number itself, 0 for success. `null` where the system has none (macOS). */
  readonly posix_fallocate:
    | ((fd: number, offset: number, length: number) => number)
    | null;
  /** Linux's own call, which no C library imitates. `null` where there is none (macOS). */
  readonly fallocate:
    | ((fd: number, mode: number, offset: number, length: number) => number)
    | null;
  /**
   * Fills `statfs`, which has room for Linux's `struct statfs`: `f_type`, `f_bsize`,
   * `f_blocks`, `f_bfree` and `f_bavail` come first, 64 bits each. `null` on macOS.
   */
  readonly fstatfs: ((fd: number, statfs: BigInt64Array) => number) | null;
  /**
   * A request to what is open as `fd`, which reads and fills `data`: as much of it as the
   * request says. `null` on macOS, where a variadic function cannot be called.
   */
  readonly ioctl:
    | ((fd: number, request: number, data: Uint8Array) => number)
    | null;
  /**
   * Fills `statx`, which has room for Linux's `struct statx`. `path` ends with a NUL.
   * `null` on macOS, and where the C library is older than the call.
   */
  readonly statx:
    | ((
      folder: number,
      path: Uint8Array,
      flags: number,
      mask: number,
      statx: Uint8Array,
    ) => number)
    | null;
  /**
   * Fills `target` with where a link leads, without a NUL. `path` ends with one. Returns
   * the bytes, at most as many as there is room for. For links in `/proc` alone, which
   * `node:fs` may not read in Deno; `null` on macOS.
   */
  readonly readlink: ((path: Uint8Array, target: Uint8Array) => number) | null;
  /**
   * Copies inside the kernel, at explicit offsets. Returns the bytes copied, or -1.
   * `null` where the system has none (macOS).
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
  /**
   * Starts, or waits for, the writing of dirty pages; a length of 0 reaches to the
   * end of the file. Promises nothing about a crash: `fsync` does. `null` where the
   * system has none (macOS).
   */
  readonly sync_file_range:
    | ((fd: number, offset: number, length: number, flags: number) => number)
    | null;
  /** `null` where the C library has none. */
  readonly attributes: AttributeCalls | null;

  /**
   * Does `fsync` write what was written to a file through a map? It does on Linux; POSIX
   * asks only `msync` for that.
   */
  readonly fsyncCleansMaps: boolean;

  /** The user whose rights this process has. */
  geteuid(): number;

  /**
   * Has the process ignore SIGXFSZ, unless somebody handles it: a file that would
   * become larger than `ulimit -f` allows is `EFBIG` then, and not the process's end.
   */
  ignoreFileSizeSignal(): void;

  /** `null` where there is none for this system and architecture. */
  readonly guard: Guard | null;
}

let load: (() => Libc) | undefined;
let loaded: Libc | undefined;

/** Sets how the C library is loaded; `ffi/mod.ts` calls it once. */
export function provideLibc(loader: () => Libc): void {
  load = loader;
  loaded = undefined;
}

/**
 * Returns the C library of this process, loaded at first use.
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
