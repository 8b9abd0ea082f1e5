/**
 * The addresses that this thread keeps reserved: its quarantines, and the system calls
 * that they need.
 *
 * `quarantine.ts` does the bookkeeping. This file connects it to the system: how
 * reserved addresses are unmapped, where a row finds room to grow, how many rows the
 * whole process has, and when idle addresses are given back early.
 *
 * Must not know who reserved the addresses, or what was mapped there.
 *
 * @module
 */

import { type Libc, libc } from "../../ffi/mod.ts";
import { type Memory, Quarantine } from "./quarantine.ts";

/**
 * Bytes of a huge page on x86-64, and on arm64 with pages of 4 KiB. At the first
 * access Linux maps that much of a cached file at once if the file system keeps it in
 * large folios (ext4 and XFS do), but only at an address that is a multiple of this;
 * elsewhere it maps 16 pages. Of the first 1000 random reads in 256 MiB, one took
 * 0.3 us at such an address and 1.7 us at others.
 */
export const HUGE_PAGE: number = 2 ** 21;

/** Address space to look for: a row at its full length, and what else lands there. */
const ROOM = 2 ** 35;

/**
 * The errnos of an `mmap` that lacked room. `EAGAIN`: locked memory is limited, and
 * the process has locked all of its memory.
 */
const NO_ROOM: readonly (string | undefined)[] = ["ENOMEM", "EAGAIN"];

// The clock as it was when this file was loaded: tests of others set it forward.
const now = performance.now.bind(performance);

/** Rows counted where there is no guard, or not yet: each thread counts for itself. */
let ownCount = 0;

const MEMORY: Memory = {
  unmap(begin, end) {
    // Sound: pages of our own that JavaScript cannot reach, released long ago.
    libc().munmap(begin, end - begin);
  },
  findRoom() {
    const address = freeAddress(libc(), ROOM, 0);
    if (address === -1) return 0; // no hint: the system chooses
    return Math.ceil(address / HUGE_PAGE) * HUGE_PAGE;
  },
  count(change) {
    const shared = libc().guard?.waiting;
    if (!shared) return ownCount += change;
    // What was counted before there was a guard goes over to the shared count.
    const all = change + ownCount;
    ownCount = 0;
    return Atomics.add(shared, 0, all) + all;
  },
  now,
};

/** For regions of small files. */
export const FILES: Quarantine = new Quarantine(MEMORY);
/** For regions of large files, which begin and end at multiples of {@linkcode HUGE_PAGE}. */
export const HUGE_FILES: Quarantine = new Quarantine(MEMORY);
/** For regions of floating slices. */
export const FLOATING: Quarantine = new Quarantine(MEMORY);

/**
 * To be called right after an `mmap` of `size` bytes that failed. If it lacked room
 * that reserved addresses take, gives back those that are surely idle. Returns false
 * if that gained nothing.
 *
 * Whatever else is reserved stays so: native code may be using it, and a refusal is an
 * error where giving it back is a fault.
 */
export function makeRoom(c: Libc, size: number): boolean {
  if (!NO_ROOM.includes(c.errnoName(c.errno()))) return false;
  const all = [FILES, HUGE_FILES, FLOATING];
  const idle = all.reduce((sum, { idleBytes }) => sum + idleBytes, 0);
  if (idle === 0 || !wouldHelp(c, size, idle)) return false;
  for (const quarantine of all) quarantine.giveBackIdle();
  return true;
}

/** May `size` bytes be mapped after `idle` ones were given back, and not before? */
export function wouldHelp(
  c: Pick<Libc, "constants" | "pageSize" | "mmap" | "munmap">,
  size: number,
  idle: number,
): boolean {
  // As what is reserved is mapped: where the system charges that, it counts here too.
  const protection = c.constants.PROT_READ | c.constants.PROT_WRITE;
  const fits = (length: number) => freeAddress(c, length, protection) !== -1;
  if (!fits(c.pageSize)) return true; // no kernel mapping is left, or no address
  if (fits(size)) return false; // what lacks is memory, which idle addresses have none of
  return size <= idle || fits(size - idle);
}

/** An address with `length` free bytes after it, or -1. */
function freeAddress(
  c: Pick<Libc, "constants" | "mmap" | "munmap">,
  length: number,
  protection: number,
): number {
  const flags = c.constants.MAP_PRIVATE | c.constants.MAP_ANONYMOUS |
    c.constants.MAP_NORESERVE;
  // Sound: fresh memory, which nobody accesses, unmapped at once.
  const address = c.mmap(0, length, protection, flags, -1, 0);
  if (address !== -1) c.munmap(address, length);
  return address;
}
