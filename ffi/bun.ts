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
import type { Libc } from "./libc.ts";
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
      getpagesize: { args: [], returns: i32 },
    },
    // Apart, because Bun refuses a whole library for one symbol that is not there.
    file: {
      posix_fallocate: {
        args: [i32, i64_fast, i64_fast], // int fd, off_t offset, off_t len
        returns: i32,
      },
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
  const file = platform.hasFileCalls
    ? ffi.dlopen(library, tables.file).symbols
    : null;
  const sourceAt = new BigInt64Array(1);
  const targetAt = new BigInt64Array(1);
  return {
    constants: platform.constants,
    pageSize: c.getpagesize(),
    maxBufferLength: MAX_BUFFER_LENGTH,
    errnoName: (errno) => platform.errnoNames[errno],
    mmap: (address, length, protection, flags, fd, offset) =>
      Number(c.mmap(address, length, protection, flags, fd, offset)),
    munmap: c.munmap,
    msync: c.msync,
    madvise: c.madvise,
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
    lseek: (fd, offset, whence) => Number(c.lseek(fd, offset, whence)),
    posix_fallocate: file === null ? null : file.posix_fallocate,
    copy_file_range: file === null
      ? null
      : (source, sourceOffset, target, targetOffset, length) => {
        sourceAt[0] = BigInt(sourceOffset);
        targetAt[0] = BigInt(targetOffset);
        return Number(
          file.copy_file_range(source, sourceAt, target, targetAt, length, 0),
        );
      },
    errno: () => ffi.read.i32(errnoLocation()!, 0),
    arrayBuffer: (address, length) =>
      ffi.toArrayBuffer(address as BunFFI.Pointer, 0, length),
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
