/**
 * What the core may ask of the operating system, in plain TypeScript types.
 *
 * Files are opened, sized, written and renamed through `node:fs`; what is here
 * is only what no runtime offers. Addresses and lengths are numbers: a user
 * address has at most 52 bits on the supported architectures, so each is a safe
 * integer. Nothing here throws; each call answers as the C function does, and
 * `errno()` explains the last one that answered -1.
 *
 * This file must not know any runtime. `ffi/mod.ts` says which backend to use.
 *
 * @module
 */

/** The numbers that `<sys/mman.h>`, `<unistd.h>`, `<sys/file.h>` and `<fcntl.h>` give to their names. */
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
  /** `undefined` where the system has none (macOS). */
  readonly MADV_HUGEPAGE: number | undefined;
  readonly SEEK_DATA: number;
  readonly SEEK_HOLE: number;
  readonly LOCK_EX: number;
  readonly LOCK_NB: number;
  /** Linux only, as the call that takes it. */
  readonly SYNC_FILE_RANGE_WRITE: number;
}

/**
 * Extended attributes of an open file. A name is bytes that end with a NUL; a
 * value is any bytes, as many as its view has. Each answers `-1` on failure.
 */
export interface AttributeCalls {
  /** Fills `names` with all names, one after the other; answers their bytes, also for `null`. */
  flistxattr(fd: number, names: Uint8Array | null): number;
  /** Fills `value`; answers its bytes, also for `null`. */
  fgetxattr(fd: number, name: Uint8Array, value: Uint8Array | null): number;
  /** Makes the attribute or replaces its value. */
  fsetxattr(fd: number, name: Uint8Array, value: Uint8Array): number;
  fremovexattr(fd: number, name: Uint8Array): number;
}

/** A range of memory under the {@linkcode Guard}. */
export interface GuardedRange {
  /** One element: how often a page was lost and replaced. Looking at it costs one load. */
  readonly faults: Int32Array;
  /** Where in the range the first page was found lost, in bytes; only right after a fault. */
  firstFault(): number;
  /** Is the handler still installed, or another one in its place? */
  isActive(): boolean;
  /** Ends the guard; once only, and before the range is unmapped. */
  end(): void;
}

/** Keeps the process alive where a page of a mapped file is lost; see `guard/`. */
export interface Guard {
  /**
   * Guards mapped memory: a lost page of it reads as zeros from then on. `null`
   * where the system refuses, or where too many ranges are guarded already.
   */
  watch(address: number, length: number): GuardedRange | null;
  /** Is there a guard, once it was asked for? */
  isThere(): boolean;
  /** One element that all threads share, once there is a guard: mappings kept by `quarantine.ts`. */
  readonly waiting: Int32Array | null;
}

/** The C library, as far as memory-mapped files need it. */
export interface Libc {
  readonly constants: Constants;
  /** Bytes in a page of memory: 4096 mostly, 16384 on Apple silicon. */
  readonly pageSize: number;
  /** Bytes in the largest ArrayBuffer of this runtime. */
  readonly maxBufferLength: number;
  /**
   * Does the runtime refuse to detach an ArrayBuffer that an asynchronous operation
   * is using? Where it does not, the operation goes on with the memory.
   */
  readonly pinsBuffers: boolean;
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
  /**
   * Locks belong to the open file description: they keep out other `open`s of
   * the same file, in this process too. Blocks the thread without `LOCK_NB`;
   * with it, a lock that another holds is `EAGAIN`, also named `EWOULDBLOCK`.
   */
  flock(fd: number, operation: number): number;
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

  /**
   * Starts, or waits for, the writing of dirty pages; a length of 0 is up to the
   * end of the file. Promises nothing about a crash: `fsync` does. `null` where
   * the system has none (macOS).
   */
  readonly sync_file_range:
    | ((fd: number, offset: number, length: number, flags: number) => number)
    | null;

  /** `null` where there is none for this system and architecture. */
  readonly guard: Guard | null;

  /** `null` where the C library has none. */
  readonly attributes: AttributeCalls | null;

  /** The user whose rights this process has. */
  geteuid(): number;
  /**
   * Does the runtime allow this process to read, or write, what lies at `path`,
   * without asking anyone? The system may still refuse. Always true in Bun.
   * `wholly`: and everything in that folder.
   */
  mayUse(path: string, access: "read" | "write", wholly?: boolean): boolean;

  /** What errno was right after the last of these calls that answered -1. */
  errno(): number;

  /**
   * An ArrayBuffer over the `length` bytes at `address`: no copy, and no
   * ownership. Sound only while those bytes stay mapped, which is
   * `src/memory/`'s business alone.
   */
  arrayBuffer(address: number, length: number): ArrayBuffer;

  /**
   * Where the bytes of a large typed array are. Right as long as it is attached:
   * engines move small ones, those in their own heap, alone.
   */
  addressOf(bytes: Uint8Array): number;

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
