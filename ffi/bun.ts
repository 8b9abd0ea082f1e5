/**
 * The Bun backend: libc through `bun:ffi`.
 *
 * Knows Bun's FFI and nothing of mapping. Importing it anywhere is harmless:
 * `bun:ffi` is only looked up when {@linkcode loadBunLibc} is called, which also
 * keeps this module graph free of an import that other runtimes refuse.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import process from "node:process";
import { existsSync } from "node:fs";
import type * as BunFFI from "bun:ffi";
import { keepErrno } from "./errno.ts";
import { type GuardCalls, guardOf } from "./guard/guard.ts";
import type { AttributeCalls, Libc } from "./libc.ts";
import type { Platform } from "./platform.ts";

/**
 * The symbol tables. The "_fast" types carry safe integers as numbers, without a
 * bigint a call; addresses are passed so too, since they are numbers in Bun anyway.
 */
function symbols({ i32, u32, i64_fast, u64_fast, ptr }: typeof BunFFI.FFIType) {
  return {
    memory: {
      mmap: {
        args: [
          u64_fast, // void *addr
          u64_fast, // size_t length
          i32, // int prot
          i32, // int flags
          i32, // int fd
          i64_fast, // off_t offset
        ],
        returns: i64_fast,
      },
      munmap: { args: [u64_fast, u64_fast], returns: i32 }, // void *addr, size_t length
      msync: {
        args: [u64_fast, u64_fast, i32], // void *addr, size_t length, int flags
        returns: i32,
      },
      madvise: {
        args: [u64_fast, u64_fast, i32], // void *addr, size_t length, int advice
        returns: i32,
      },
      mprotect: {
        args: [u64_fast, u64_fast, i32], // void *addr, size_t len, int prot
        returns: i32,
      },
      sigaction: {
        args: [
          i32, // int signum
          ptr, // const struct sigaction *act
          ptr, // struct sigaction *oldact
        ],
        returns: i32,
      },
      memmem: {
        args: [
          u64_fast, // const void *haystack
          u64_fast, // size_t haystacklen
          ptr, // const void *needle
          u64_fast, // size_t needlelen
        ],
        returns: u64_fast,
      },
      memmove: {
        args: [u64_fast, u64_fast, u64_fast], // void *dest, const void *src, size_t n
        returns: u64_fast,
      },
      memset: {
        args: [u64_fast, i32, u64_fast], // void *s, int c, size_t n
        returns: u64_fast,
      },
      memcmp: {
        args: [u64_fast, u64_fast, u64_fast], // const void *s1, const void *s2, size_t n
        returns: i32,
      },
      lseek: {
        args: [i32, i64_fast, i32], // int fd, off_t offset, int whence
        returns: i64_fast,
      },
      flock: { args: [i32, i32], returns: i32 }, // int fd, int operation
      geteuid: { args: [], returns: u32 },
      getpagesize: { args: [], returns: i32 },
    },
    // Apart, because Bun refuses a whole table for one symbol that is not there.
    fallocate: {
      posix_fallocate: {
        args: [i32, i64_fast, i64_fast], // int fd, off_t offset, off_t len
        returns: i32,
      },
    },
    copy: {
      copy_file_range: {
        args: [
          i32, // int fd_in
          ptr, // off_t *off_in
          i32, // int fd_out
          ptr, // off_t *off_out
          u64_fast, // size_t len
          u32, // unsigned int flags
        ],
        returns: i64_fast,
      },
    },
    sync: {
      sync_file_range: {
        args: [
          i32, // int fd
          i64_fast, // off64_t offset
          i64_fast, // off64_t nbytes
          u32, // unsigned int flags
        ],
        returns: i32,
      },
    },
    linuxAttributes: {
      flistxattr: {
        args: [i32, ptr, u64_fast], // int fd, char *list, size_t size
        returns: i64_fast,
      },
      fgetxattr: {
        args: [
          i32, // int fd
          ptr, // const char *name
          ptr, // void *value
          u64_fast, // size_t size
        ],
        returns: i64_fast,
      },
      fsetxattr: {
        args: [
          i32, // int fd
          ptr, // const char *name
          ptr, // const void *value
          u64_fast, // size_t size
          i32, // int flags
        ],
        returns: i32,
      },
      fremovexattr: { args: [i32, ptr], returns: i32 }, // int fd, const char *name
    },
    darwinAttributes: {
      flistxattr: {
        args: [i32, ptr, u64_fast, i32], // int fd, char *namebuf, size_t size, int options
        returns: i64_fast,
      },
      fgetxattr: {
        args: [
          i32, // int fd
          ptr, // const char *name
          ptr, // void *value
          u64_fast, // size_t size
          u32, // u_int32_t position
          i32, // int options
        ],
        returns: i64_fast,
      },
      fsetxattr: {
        args: [
          i32, // int fd
          ptr, // const char *name
          ptr, // const void *value
          u64_fast, // size_t size
          u32, // u_int32_t position
          i32, // int options
        ],
        returns: i32,
      },
      fremovexattr: { args: [i32, ptr, i32], returns: i32 }, // int fd, const char *name, int options
    },
    linuxErrno: { __errno_location: { args: [], returns: ptr } },
    darwinErrno: { __error: { args: [], returns: ptr } },
  } as const;
}

/** Bun's largest ArrayBuffer; one byte more is "RangeError: Out of memory". */
const MAX_BUFFER_LENGTH = 2 ** 32;

/** Loads libc. */
export function loadBunLibc(platform: Platform): Libc {
  const ffi = process.getBuiltinModule("bun:ffi") as unknown as typeof BunFFI;
  const library = platform.libraries.find((path) => existsSync(path)) ??
    platform.libraries.at(-1)!;
  const tables = symbols(ffi.FFIType);
  const c = ffi.dlopen(library, tables.memory).symbols;
  const errnoLocation = platform.errnoLocation === "__error"
    ? ffi.dlopen(library, tables.darwinErrno).symbols.__error
    : ffi.dlopen(library, tables.linuxErrno).symbols.__errno_location;
  /** The functions of a table, or `null` on a libc that lacks one of them. */
  const ifThere = <T extends Record<string, BunFFI.FFIFunction>>(table: T) => {
    try {
      return ffi.dlopen(library, table).symbols;
    } catch {
      return null;
    }
  };
  const arrayBuffer = (address: number, length: number) =>
    ffi.toArrayBuffer(address as BunFFI.Pointer, 0, length);
  const { now, noted, last } = keepErrno(
    arrayBuffer(Number(errnoLocation()!), 4),
  );
  const { hasFileCalls } = platform;
  const fallocate = hasFileCalls ? ifThere(tables.fallocate) : null;
  const copy = hasFileCalls ? ifThere(tables.copy) : null;
  const sync = hasFileCalls ? ifThere(tables.sync) : null;
  // As views the addresses of names and values are taken inside the call.
  const attributes = (): AttributeCalls | null => {
    if (platform.attributeCalls === "linux") {
      const a = ifThere(tables.linuxAttributes);
      return a === null ? null : {
        flistxattr: (fd, names) =>
          noted(a.flistxattr(fd, names, names?.length ?? 0), now[0]),
        fgetxattr: (fd, name, value) =>
          noted(a.fgetxattr(fd, name, value, value?.length ?? 0), now[0]),
        fsetxattr: (fd, name, value) =>
          noted(a.fsetxattr(fd, name, value, value.length, 0), now[0]),
        fremovexattr: (fd, name) => noted(a.fremovexattr(fd, name), now[0]),
      };
    }
    const a = ifThere(tables.darwinAttributes);
    return a === null ? null : {
      flistxattr: (fd, names) =>
        noted(a.flistxattr(fd, names, names?.length ?? 0, 0), now[0]),
      fgetxattr: (fd, name, value) =>
        noted(a.fgetxattr(fd, name, value, value?.length ?? 0, 0, 0), now[0]),
      fsetxattr: (fd, name, value) =>
        noted(a.fsetxattr(fd, name, value, value.length, 0, 0), now[0]),
      fremovexattr: (fd, name) => noted(a.fremovexattr(fd, name, 0), now[0]),
    };
  };
  const sourceAt = new BigInt64Array(1);
  const targetAt = new BigInt64Array(1);
  const memory: GuardCalls = {
    constants: platform.constants,
    pageSize: c.getpagesize(),
    mmap: (address, length, protection, flags, fd, offset) =>
      noted(c.mmap(address, length, protection, flags, fd, offset), now[0]),
    munmap: (address, length) => noted(c.munmap(address, length), now[0]),
    mprotect: (address, length, protection) =>
      noted(c.mprotect(address, length, protection), now[0]),
    sigaction: (signal, action, before) =>
      noted(c.sigaction(signal, action, before), now[0]),
    arrayBuffer,
  };
  return {
    ...memory,
    guard: guardOf(memory, platform.handler),
    maxBufferLength: MAX_BUFFER_LENGTH,
    pinsBuffers: true,
    errnoName: (errno) => platform.errnoNames[errno],
    msync: (address, length, flags) =>
      noted(c.msync(address, length, flags), now[0]),
    madvise: (address, length, advice) =>
      noted(c.madvise(address, length, advice), now[0]),
    // As a view the needle's address is taken inside the call, where no
    // garbage collection can move it.
    memmem: (haystack, haystackLength, needle, needleLength) =>
      Number(c.memmem(haystack, haystackLength, needle, needleLength)),
    memmove: (target, source, length) => {
      c.memmove(target, source, length);
    },
    memset: (address, byte, length) => {
      c.memset(address, byte, length);
    },
    memcmp: c.memcmp,
    lseek: (fd, offset, whence) => noted(c.lseek(fd, offset, whence), now[0]),
    flock: (fd, operation) => noted(c.flock(fd, operation), now[0]),
    geteuid: c.geteuid,
    mayUse: () => true,
    posix_fallocate: fallocate === null ? null : fallocate.posix_fallocate,
    copy_file_range: copy === null
      ? null
      : (source, sourceOffset, target, targetOffset, length) => {
        sourceAt[0] = BigInt(sourceOffset);
        targetAt[0] = BigInt(targetOffset);
        return noted(
          copy.copy_file_range(source, sourceAt, target, targetAt, length, 0),
          now[0],
        );
      },
    sync_file_range: sync === null
      ? null
      : (fd, offset, length, flags) =>
        noted(sync.sync_file_range(fd, offset, length, flags), now[0]),
    addressOf: ffi.ptr,
    attributes: attributes(),
    errno: last,
    swapInPlace,
  };
}

/** Buffer's own are native in Bun, vectorized, and indifferent to alignment. */
function swapInPlace(bytes: Uint8Array, width: number): void {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (width === 8) buffer.swap64();
  else if (width === 4) buffer.swap32();
  else buffer.swap16();
}
