/**
 * The Deno backend: libc through `Deno.dlopen`.
 *
 * Knows Deno's FFI and nothing of mapping. Importing it anywhere is harmless:
 * `Deno` is only touched when {@linkcode loadDenoLibc} is called.
 *
 * @module
 */

import { type ErrnoKeeper, keepErrno } from "./errno.ts";
import { type GuardCalls, guardOf } from "./guard/guard.ts";
import type { AttributeCalls, Libc } from "./libc.ts";
import type { Platform } from "./platform.ts";

// "usize" carries pointers: in Deno a "pointer" is an opaque object, one
// allocation a call, while every address here is computed with.
const SYMBOLS = {
  mmap: {
    parameters: [
      "usize", // void *addr
      "usize", // size_t length
      "i32", // int prot
      "i32", // int flags
      "i32", // int fd
      "i64", // off_t offset
    ],
    result: "isize",
  },
  munmap: {
    parameters: ["usize", "usize"], // void *addr, size_t length
    result: "i32",
  },
  msync: {
    parameters: ["usize", "usize", "i32"], // void *addr, size_t length, int flags
    result: "i32",
  },
  madvise: {
    parameters: ["usize", "usize", "i32"], // void *addr, size_t length, int advice
    result: "i32",
  },
  mprotect: {
    parameters: ["usize", "usize", "i32"], // void *addr, size_t len, int prot
    result: "i32",
  },
  sigaction: {
    parameters: [
      "i32", // int signum
      "buffer", // const struct sigaction *act
      "buffer", // struct sigaction *oldact
    ],
    result: "i32",
  },
  memmem: {
    parameters: [
      "usize", // const void *haystack
      "usize", // size_t haystacklen
      "buffer", // const void *needle
      "usize", // size_t needlelen
    ],
    result: "usize",
  },
  memmove: {
    parameters: ["usize", "usize", "usize"], // void *dest, const void *src, size_t n
    result: "usize",
  },
  memset: {
    parameters: ["usize", "i32", "usize"], // void *s, int c, size_t n
    result: "usize",
  },
  memcmp: {
    parameters: ["usize", "usize", "usize"], // const void *s1, const void *s2, size_t n
    result: "i32",
  },
  lseek: {
    parameters: ["i32", "i64", "i32"], // int fd, off_t offset, int whence
    result: "i64",
  },
  geteuid: { parameters: [], result: "u32" },
  flock: {
    parameters: ["i32", "i32"], // int fd, int operation
    result: "i32",
  },
  getpagesize: { parameters: [], result: "i32" },
  __errno_location: { parameters: [], result: "pointer", optional: true },
  __error: { parameters: [], result: "pointer", optional: true },
  posix_fallocate: {
    parameters: ["i32", "i64", "i64"], // int fd, off_t offset, off_t len
    result: "i32",
    optional: true,
  },
  copy_file_range: {
    parameters: [
      "i32", // int fd_in
      "buffer", // off_t *off_in
      "i32", // int fd_out
      "buffer", // off_t *off_out
      "usize", // size_t len
      "u32", // unsigned int flags
    ],
    result: "isize",
    optional: true,
  },
  sync_file_range: {
    parameters: [
      "i32", // int fd
      "i64", // off64_t offset
      "i64", // off64_t nbytes
      "u32", // unsigned int flags
    ],
    result: "i32",
    optional: true,
  },
  // Linux lists no more than 64 KiB of names, nor has a value more: an int holds what
  // a ssize_t is for, and takes no memory as a number, which a bigint does.
  flistxattr: {
    parameters: ["i32", "buffer", "usize"], // int fd, char *list, size_t size
    result: "i32",
    optional: true,
  },
  fgetxattr: {
    parameters: [
      "i32", // int fd
      "buffer", // const char *name
      "buffer", // void *value
      "usize", // size_t size
    ],
    result: "i32",
    optional: true,
  },
  fsetxattr: {
    parameters: [
      "i32", // int fd
      "buffer", // const char *name
      "buffer", // const void *value
      "usize", // size_t size
      "i32", // int flags
    ],
    result: "i32",
    optional: true,
  },
  fremovexattr: {
    parameters: ["i32", "buffer"], // int fd, const char *name
    result: "i32",
    optional: true,
  },
  // The same four as macOS has them.
  flistxattrDarwin: {
    name: "flistxattr",
    parameters: [
      "i32", // int fd
      "buffer", // char *namebuf
      "usize", // size_t size
      "i32", // int options
    ],
    result: "isize",
    optional: true,
  },
  fgetxattrDarwin: {
    name: "fgetxattr",
    parameters: [
      "i32", // int fd
      "buffer", // const char *name
      "buffer", // void *value
      "usize", // size_t size
      "u32", // u_int32_t position
      "i32", // int options
    ],
    result: "isize",
    optional: true,
  },
  fsetxattrDarwin: {
    name: "fsetxattr",
    parameters: [
      "i32", // int fd
      "buffer", // const char *name
      "buffer", // const void *value
      "usize", // size_t size
      "u32", // u_int32_t position
      "i32", // int options
    ],
    result: "i32",
    optional: true,
  },
  fremovexattrDarwin: {
    name: "fremovexattr",
    parameters: ["i32", "buffer", "i32"], // int fd, const char *name, int options
    result: "i32",
    optional: true,
  },
} as const;

type Library = Deno.DynamicLibrary<typeof SYMBOLS>;

/**
 * Opens the first library that is there.
 *
 * Deno can limit `--allow-ffi` to a library's path, but then refuses every
 * ArrayBuffer over a pointer (denoland/deno#15511), which is all that a mapping
 * is for. So the whole permission is asked for first: without it, Deno prompts
 * or throws its own `NotCapable` before anything is touched.
 */
function openLibrary(platform: Platform): Library {
  Deno.UnsafePointer.create(1n); // makes no access; only the check counts
  let missing: unknown;
  for (const path of platform.libraries) {
    try {
      return Deno.dlopen(path, SYMBOLS);
    } catch (error) {
      missing = error; // the next path may be there
    }
  }
  throw missing;
}

/** What Deno's types let pass as a "buffer". */
type Bytes = Uint8Array<ArrayBuffer>;

// As a "buffer" a view's address is taken inside the call, where no garbage
// collection can move it; `null` is the null pointer.
function attributeCalls(
  c: Library["symbols"],
  platform: Platform,
  { now, noted }: ErrnoKeeper,
): AttributeCalls | null {
  if (platform.attributeCalls === "linux") {
    const { flistxattr, fgetxattr, fsetxattr, fremovexattr } = c;
    if (
      flistxattr === null || fgetxattr === null || fsetxattr === null ||
      fremovexattr === null
    ) {
      return null;
    }
    return {
      flistxattr: (fd, names) =>
        noted(
          flistxattr(fd, names as Bytes, BigInt(names?.length ?? 0)),
          now[0],
        ),
      fgetxattr: (fd, name, value) =>
        noted(
          fgetxattr(
            fd,
            name as Bytes,
            value as Bytes,
            BigInt(value?.length ?? 0),
          ),
          now[0],
        ),
      fsetxattr: (fd, name, value) =>
        noted(
          fsetxattr(fd, name as Bytes, value as Bytes, BigInt(value.length), 0),
          now[0],
        ),
      fremovexattr: (fd, name) =>
        noted(fremovexattr(fd, name as Bytes), now[0]),
    };
  }
  const { flistxattrDarwin, fgetxattrDarwin } = c;
  const { fsetxattrDarwin, fremovexattrDarwin } = c;
  if (
    flistxattrDarwin === null || fgetxattrDarwin === null ||
    fsetxattrDarwin === null || fremovexattrDarwin === null
  ) {
    return null;
  }
  return {
    flistxattr: (fd, names) =>
      noted(
        flistxattrDarwin(fd, names as Bytes, BigInt(names?.length ?? 0), 0),
        now[0],
      ),
    fgetxattr: (fd, name, value) =>
      noted(
        fgetxattrDarwin(
          fd,
          name as Bytes,
          value as Bytes,
          BigInt(value?.length ?? 0),
          0,
          0,
        ),
        now[0],
      ),
    fsetxattr: (fd, name, value) =>
      noted(
        fsetxattrDarwin(
          fd,
          name as Bytes,
          value as Bytes,
          BigInt(value.length),
          0,
          0,
        ),
        now[0],
      ),
    fremovexattr: (fd, name) =>
      noted(fremovexattrDarwin(fd, name as Bytes, 0), now[0]),
  };
}

/** Loads libc. Throws Deno's `NotCapable` without `--allow-ffi`. */
export function loadDenoLibc(platform: Platform): Libc {
  const c = openLibrary(platform).symbols;
  const errnoLocation = c[platform.errnoLocation];
  if (errnoLocation === null) {
    throw new Error(`This libc has no ${platform.errnoLocation}.`);
  }
  const { posix_fallocate, copy_file_range, sync_file_range } = c;
  const sourceAt = new BigInt64Array(1);
  const targetAt = new BigInt64Array(1);
  const errno = keepErrno(
    Deno.UnsafePointerView.getArrayBuffer(errnoLocation()!, 4, 0),
  );
  const { now, noted } = errno;
  const memory: GuardCalls = {
    constants: platform.constants,
    pageSize: c.getpagesize(),
    mmap: (address, length, protection, flags, fd, offset) =>
      noted(
        c.mmap(
          BigInt(address),
          BigInt(length),
          protection,
          flags,
          fd,
          BigInt(offset),
        ),
        now[0],
      ),
    munmap: (address, length) =>
      noted(c.munmap(BigInt(address), BigInt(length)), now[0]),
    mprotect: (address, length, protection) =>
      noted(c.mprotect(BigInt(address), BigInt(length), protection), now[0]),
    sigaction: (signal, action, before) =>
      noted(c.sigaction(signal, action as Bytes, before as Bytes), now[0]),
    arrayBuffer: (address, length) =>
      Deno.UnsafePointerView.getArrayBuffer(
        Deno.UnsafePointer.create(BigInt(address))!,
        length,
        0,
      ),
  };
  return {
    ...memory,
    guard: guardOf(memory, platform.handler),
    // V8 itself sets no limit below 2^53 - 1 on a buffer it did not allocate.
    maxBufferLength: Number.MAX_SAFE_INTEGER,
    pinsBuffers: false,
    errnoName: (errno) => platform.errnoNames[errno],
    msync: (address, length, flags) =>
      noted(c.msync(BigInt(address), BigInt(length), flags), now[0]),
    madvise: (address, length, advice) =>
      noted(c.madvise(BigInt(address), BigInt(length), advice), now[0]),
    // As a "buffer" the needle's address is taken inside the call, where no
    // garbage collection can move it.
    memmem: (haystack, haystackLength, needle, needleLength) =>
      Number(
        c.memmem(
          BigInt(haystack),
          BigInt(haystackLength),
          needle as Uint8Array<ArrayBuffer>,
          BigInt(needleLength),
        ),
      ),
    memmove: (target, source, length) => {
      c.memmove(BigInt(target), BigInt(source), BigInt(length));
    },
    memset: (address, byte, length) => {
      c.memset(BigInt(address), byte, BigInt(length));
    },
    memcmp: (a, b, length) => c.memcmp(BigInt(a), BigInt(b), BigInt(length)),
    lseek: (fd, offset, whence) =>
      noted(c.lseek(fd, BigInt(offset), whence), now[0]),
    flock: (fd, operation) => noted(c.flock(fd, operation), now[0]),
    geteuid: () => c.geteuid(),
    mayUse: (path, name, wholly = false) => {
      const { state, partial } = Deno.permissions.querySync({ name, path });
      return state === "granted" && !(wholly && partial);
    },
    posix_fallocate: platform.hasFileCalls && posix_fallocate !== null
      ? (fd, offset, length) =>
        posix_fallocate(fd, BigInt(offset), BigInt(length))
      : null,
    copy_file_range: platform.hasFileCalls && copy_file_range !== null
      ? (source, sourceOffset, target, targetOffset, length) => {
        sourceAt[0] = BigInt(sourceOffset);
        targetAt[0] = BigInt(targetOffset);
        return noted(
          copy_file_range(
            source,
            sourceAt,
            target,
            targetAt,
            BigInt(length),
            0,
          ),
          now[0],
        );
      }
      : null,
    sync_file_range: platform.hasFileCalls && sync_file_range !== null
      ? (fd, offset, length, flags) =>
        noted(
          sync_file_range(fd, BigInt(offset), BigInt(length), flags),
          now[0],
        )
      : null,
    addressOf: (bytes) =>
      Number(Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes as Bytes))),
    attributes: attributeCalls(c, platform, errno),
    errno: errno.last,
    swapInPlace: null, // Buffer's are loops in JavaScript here
  };
}
