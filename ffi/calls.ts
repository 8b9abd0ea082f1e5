/**
 * The C library as `libc.ts` describes it, made of the functions that a backend found.
 *
 * Converts arguments and results, and keeps errno. Must not know any runtime: a
 * backend says how it passes an integer of 64 bits, and the rest is the same.
 *
 * @module
 */

import { errnosOf, keepErrno } from "./errno.ts";
import { ignoreFileSizeSignal } from "./file_size_signal.ts";
import { type GuardCalls, guardOf } from "./guard/mod.ts";
import type { Libc } from "./libc.ts";
import type { Platform } from "./platform.ts";
import type { Runtime } from "./runtime.ts";
import { errnoLocationOn, type Symbols } from "./signatures.ts";
import { attributesOf } from "./xattr.ts";

/** A table of symbols, as a backend looked them up: `null` where one is missing. */
export type Found = Readonly<
  Record<string, ((...values: never[]) => unknown) | null>
>;

/**
 * Makes the C library. `long` converts a number to what the backend's functions take
 * for 64 bits, and `arrayBuffer` is the runtime's own.
 */
export function libcOf<Long extends number | bigint>(
  found: Found,
  platform: Platform,
  long: (value: number) => Long,
  arrayBuffer: Runtime["arrayBuffer"],
): Libc {
  // Sound: the backend made `found` from the prototypes in `signatures.ts`, which
  // this type is derived from.
  const c = found as unknown as Symbols<Long>;
  const { constants, system } = platform;
  const locate = found[errnoLocationOn(system)] as () => number | bigint;
  const keeper = keepErrno(arrayBuffer(Number(locate()), 4));
  const { now, noted } = keeper;
  const { names, numbers } = errnosOf(system);
  const { posix_fallocate, fallocate, fstatfs, ioctl, statx, readlink } = c;
  const { copy_file_range, sync_file_range } = c;
  const sourceAt = new BigInt64Array(1);
  const targetAt = new BigInt64Array(1);
  const memory: GuardCalls = {
    constants,
    pageSize: c.getpagesize(),
    mmap: (address, length, protection, flags, fd, offset) =>
      noted(
        c.mmap(
          long(address),
          long(length),
          protection,
          flags,
          fd,
          long(offset),
        ),
        now[0]!,
      ),
    munmap: (address, length) =>
      noted(c.munmap(long(address), long(length)), now[0]!),
    mprotect: (address, length, protection) =>
      noted(c.mprotect(long(address), long(length), protection), now[0]!),
    sigaction: (signal, action, before) =>
      noted(c.sigaction(signal, action, before), now[0]!),
    arrayBuffer,
  };
  return {
    constants,
    pageSize: memory.pageSize,
    errno: keeper.last,
    errnoName: (errno) => names.get(errno),
    errnoNumber: ((name: string) => numbers.get(name)) as Libc["errnoNumber"],
    mmap: memory.mmap,
    munmap: memory.munmap,
    msync: (address, length, flags) =>
      noted(c.msync(long(address), long(length), flags), now[0]!),
    madvise: (address, length, advice) =>
      noted(c.madvise(long(address), long(length), advice), now[0]!),
    mincore: (address, length, pages) =>
      noted(c.mincore(long(address), long(length), pages), now[0]!),
    memmem: (haystack, haystackLength, needle, needleLength) =>
      Number(
        c.memmem(
          long(haystack),
          long(haystackLength),
          needle,
          long(needleLength),
        ),
      ),
    memmove: (target, source, length) => {
      c.memmove(long(target), long(source), long(length));
    },
    memset: (address, byte, length) => {
      c.memset(long(address), byte, long(length));
    },
    memcmp: (a, b, length) => c.memcmp(long(a), long(b), long(length)),
    lseek: (fd, offset, whence) =>
      noted(c.lseek(fd, long(offset), whence), now[0]!),
    flock: (fd, operation) => noted(c.flock(fd, operation), now[0]!),
    posix_fallocate: isThere(posix_fallocate)
      ? (fd, offset, length) => posix_fallocate(fd, long(offset), long(length))
      : null,
    fallocate: isThere(fallocate)
      ? (fd, mode, offset, length) =>
        noted(fallocate(fd, mode, long(offset), long(length)), now[0]!)
      : null,
    fstatfs: isThere(fstatfs)
      ? (fd, statfs) => noted(fstatfs(fd, statfs), now[0]!)
      : null,
    // Variadic in C. On Linux, x64 and arm64, all arguments travel alike.
    ioctl: isThere(ioctl)
      ? (fd, request, data) => noted(ioctl(fd, long(request), data), now[0]!)
      : null,
    statx: isThere(statx)
      ? (folder, path, flags, mask, status) =>
        noted(statx(folder, path, flags, mask, status), now[0]!)
      : null,
    readlink: isThere(readlink)
      ? (path, target) =>
        noted(readlink(path, target, long(target.length)), now[0]!)
      : null,
    // Sound: the offsets are arrays of our own, which live through the call.
    copy_file_range: isThere(copy_file_range)
      ? (source, sourceOffset, target, targetOffset, length) => {
        sourceAt[0] = BigInt(sourceOffset);
        targetAt[0] = BigInt(targetOffset);
        return noted(
          copy_file_range(source, sourceAt, target, targetAt, long(length), 0),
          now[0]!,
        );
      }
      : null,
    sync_file_range: isThere(sync_file_range)
      ? (fd, offset, length, flags) =>
        noted(
          sync_file_range(fd, long(offset), long(length), flags),
          now[0]!,
        )
      : null,
    attributes: attributesOf(c, system, long, keeper),
    fsyncCleansMaps: system === "linux",
    geteuid: () => c.geteuid(),
    ignoreFileSizeSignal: ignoreFileSizeSignal(memory),
    guard: guardOf(memory, platform.handler),
  };
}

/** Was the function found? Those of another system were never looked up. */
function isThere<T>(found: T | null | undefined): found is T {
  return found !== null && found !== undefined;
}
