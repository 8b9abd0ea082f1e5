/**
 * The blocks behind a file's bytes: where it has none, reserving them ahead of
 * writing, and giving them back.
 *
 * What a file system can do, and what it knows, depends on which one it is. Knows
 * open files, and nothing of maps or flushes.
 *
 * @module
 */

import { libc } from "../../ffi/mod.ts";
import { errnoError, systemError } from "../base/mod.ts";
import type { OpenFile } from "./open_file.ts";
import { statusOf } from "./status.ts";

/** Bytes of a block on most disks; where they are larger, less is given back. */
export const BLOCK = 4096;
/** Bytes in the unit that stat counts blocks in, whatever a file system's own is. */
const STAT_UNIT = 512;
/** Bytes read or written at a time. */
const BUFFER = 2 ** 20;

// The types that statfs(2) lists.
const EXT4 = 0xef53; // ext2 and ext3 as well
const XFS = 0x58465342;
const BTRFS = 0x9123683e;
const TMPFS = 0x01021994;
const F2FS = 0xf2f52010;
const BCACHEFS = 0xca451a4e;
const ZFS = 0x2fc12fc1;
const HUGETLBFS = 0x958458f6;

/** In these, a hole that was written to through a map is data at once. */
const KNOWS_MAPS: readonly number[] = [EXT4, XFS, BTRFS, TMPFS, F2FS, BCACHEFS];
/** In these, bytes that are written over need new blocks, which cannot be reserved. */
const COPIES_ON_WRITE: readonly number[] = [BTRFS, BCACHEFS, ZFS];
/**
 * In these, blocks of a file may be another file's as well (reflinks, snapshots): cutting
 * the file frees none of those, and writing over them takes new ones.
 */
const SHARES_BLOCKS: readonly number[] = [XFS, ...COPIES_ON_WRITE];

/** In these, a copy of whole blocks inside the kernel shares them. */
const COPIES_BY_SHARING: readonly number[] = [XFS, BTRFS];

/** In these, a write within one page is made as a whole. */
const WRITES_PAGES_WHOLE: readonly number[] = [EXT4, XFS, BTRFS, TMPFS];

/** In these, the kernel may stamp each change of a file exactly, whoever makes it. */
const STAMPS_EXACTLY: readonly number[] = [EXT4, XFS, BTRFS];

/** The errors with which systems say that a file system cannot do something. */
const UNSUPPORTED: readonly (string | undefined)[] = [
  "EINVAL",
  "ENODEV",
  "ENOSYS",
  "ENOTSUP",
  "EOPNOTSUPP",
];

/** Bytes of disk that a file takes. */
function allocated(file: OpenFile): number {
  return statusOf(file.fd, file.path).blocks * STAT_UNIT;
}

/**
 * Does a file take less of the disk than it has bytes? Only then are its holes to be
 * kept: where it takes as much, they are blocks that were reserved and not written.
 */
export function isSparse(file: OpenFile): boolean {
  return allocated(file) < file.size;
}

/**
 * Does the file system know what was written into a hole through a map? Others (FUSE,
 * ZFS) call it a hole until the file was synced.
 */
export function knowsMaps(file: OpenFile): boolean {
  const found = statfs(file);
  return found !== undefined && KNOWS_MAPS.includes(found.type);
}

/**
 * Is a write to the file made as a whole, if it stays within {@linkcode BLOCK} bytes that
 * begin at a multiple of that, as do its bytes in memory? Then no kill is between two
 * parts of it, and no other process sees one without the other.
 *
 * On Linux, a write into the page cache is made page by page, or in pieces of several.
 * A signal that ends the process is looked for between two of them, and nowhere else
 * (`generic_perform_write` for ext4 and tmpfs, `iomap_write_begin` for XFS; btrfs waits
 * for room between two). With each piece the file gets its new size. So a write within
 * a page has not begun, or is made with its size. Only a page of memory that is missing
 * cuts a piece short, and a page that was just written to is there.
 */
export function writesPagesWhole(file: OpenFile): boolean {
  const found = statfs(file);
  return found !== undefined && WRITES_PAGES_WHOLE.includes(found.type);
}

/**
 * May two changes of the file be told apart by their times, however soon one follows the
 * other? It depends on the kernel as well: see `settled.ts`.
 */
export function stampsExactly(file: OpenFile): boolean {
  const found = statfs(file);
  return found !== undefined && STAMPS_EXACTLY.includes(found.type);
}

/** Are holes all that blocks must be reserved for where `file` is? */
function isPlain(file: OpenFile): boolean {
  const type = statfs(file)?.type;
  return type !== undefined && KNOWS_MAPS.includes(type) &&
    !SHARES_BLOCKS.includes(type);
}

/** Bytes of a block that files may share where `file` is; 0 where they share none. */
export function sharedBlockOf(file: OpenFile): number {
  const found = statfs(file);
  return found !== undefined && COPIES_BY_SHARING.includes(found.type)
    ? found.unit
    : 0;
}

/**
 * Bytes in a page of a file of hugetlbfs, and 0 of any other. Such a file has whole
 * pages, is as long as what is mapped of it, and cannot be written but through a map.
 */
export function hugePageOf(file: OpenFile): number {
  const found = statfs(file);
  return found?.type === HUGETLBFS ? found.unit : 0;
}

/**
 * Throws `ENOSPC` where `length` bytes cannot be written over because each may need a
 * new block, and the disk has too few of them.
 */
export function checkRoomToWriteOver(file: OpenFile, length: number): void {
  const found = statfs(file);
  if (found === undefined || !SHARES_BLOCKS.includes(found.type)) return;
  if (found.room >= length || canReserve(file, length)) return;
  if (!COPIES_ON_WRITE.includes(found.type) && !sharesBlocks(file)) return;
  throw systemError(
    "ENOSPC",
    "fstatfs",
    file.path,
    `writing over ${length} bytes takes as many of new blocks, since this file system ` +
      "copies on write, or the file shares its blocks with others; " +
      `${found.room} bytes are free, and nothing was written`,
  );
}

/**
 * Can `length` more bytes be reserved? Keeps none of them. Other than asking for the
 * room, this has the system gather what was in use until just now.
 */
function canReserve(file: OpenFile, length: number): boolean {
  const from = wholeBlocks(file.size);
  try {
    return allocate(file, from, from + length);
  } catch {
    return false;
  } finally {
    punch(file, from, from + length);
  }
}

// From <linux/fiemap.h> and <linux/fs.h>.
const FS_IOC_FIEMAP = 0xc020660b;
const FIEMAP_EXTENT_LAST = 0x1;
const FIEMAP_EXTENT_SHARED = 0x2000;
/** Bytes of `struct fiemap`, and of a `struct fiemap_extent` behind it. */
const [FIEMAP, EXTENT] = [32, 56];
/** Extents that are asked for at a time. */
const EXTENTS = 256;

/**
 * Has another file some of the blocks of bytes `from` to `to` as well? Where nobody can
 * say, it does.
 */
function sharesBlocks(
  file: OpenFile,
  from: number = 0,
  to: number = file.size,
): boolean {
  const { ioctl } = libc();
  if (ioctl === null) return true;
  const answer = new DataView(new ArrayBuffer(FIEMAP + EXTENTS * EXTENT));
  const bytes = new Uint8Array(answer.buffer);
  for (let at = from; at < to;) {
    bytes.fill(0);
    answer.setBigUint64(0, BigInt(at), true); // fm_start
    answer.setBigUint64(8, BigInt(to - at), true); // fm_length
    answer.setUint32(24, EXTENTS, true); // fm_extent_count
    // Sound: there is room behind the structure for as many extents as it says, and it
    // lives through the call.
    if (ioctl(file.fd, FS_IOC_FIEMAP, bytes) === -1) return true;
    const count = answer.getUint32(20, true); // fm_mapped_extents
    if (count === 0) return false;
    for (let i = 0; i < count; i++) {
      const extent = FIEMAP + i * EXTENT;
      const flags = answer.getUint32(extent + 40, true); // fe_flags
      if ((flags & FIEMAP_EXTENT_SHARED) !== 0) return true;
      if ((flags & FIEMAP_EXTENT_LAST) !== 0) return false;
      // fe_logical and fe_length
      at = Number(answer.getBigUint64(extent, true)) +
        Number(answer.getBigUint64(extent + 16, true));
    }
  }
  return false;
}

/**
 * Gives a file blocks of its own where other files have them as well, and blocks to
 * its holes, between `from` and `to`. False where there are none such, or the file system
 * cannot.
 */
export function unshare(file: OpenFile, from: number, to: number): boolean {
  if (from >= to || statfs(file)?.type !== XFS) return false;
  // It would ask for room for all of them, whoever has them.
  if (!sharesBlocks(file, from, to)) return false;
  const { FALLOC_FL_KEEP_SIZE, FALLOC_FL_UNSHARE_RANGE } = libc().constants;
  return fallocate(
    file,
    FALLOC_FL_UNSHARE_RANGE | FALLOC_FL_KEEP_SIZE,
    from,
    to,
  );
}

/**
 * Throws unless a file of `length` bytes can be made of the disk's room and of the
 * blocks that the file has already, and has alone. Reserves behind its end what is
 * missing.
 */
export function ensureRoom(file: OpenFile, length: number): void {
  const found = statfs(file);
  const mayShare = found !== undefined && SHARES_BLOCKS.includes(found.type);
  if (
    mayShare && file.size > 0 && !canReserve(file, length) && sharesBlocks(file)
  ) {
    throw systemError(
      "ENOSPC",
      "fallocate",
      file.path,
      `there is no room for ${length} bytes beside the old content, whose blocks ` +
        "other files may have as well, so that they would not be freed; remove the " +
        "file first",
    );
  }
  const missing = length - allocated(file);
  if (missing <= 0) return;
  const end = wholeBlocks(file.size);
  file.reserveRange(end, end + missing);
  if (allocated(file) < length) checkRoom(file, missing); // nothing was reserved
}

/** Throws `ENOSPC` where a file has no room to become `length` bytes long. */
export function checkRoomToGrow(file: OpenFile, length: number): void {
  const missing = wholeBlocks(length) - wholeBlocks(file.size);
  if (missing > 0) checkRoom(file, missing);
}

/** Throws `ENOSPC` where holes that `ranges` touch cannot be written to. */
export function checkRoomInHoles(
  file: OpenFile,
  ranges: readonly (readonly [begin: number, end: number])[],
): void {
  let missing = 0;
  const holes = new Holes(file);
  for (const [from, to] of ranges) {
    for (const [begin, end] of holes.in(from, to)) missing += end - begin;
  }
  if (missing > 0) checkRoom(file, missing);
}

/** Blocks for parts of a file, which can be given back until they are written to. */
export class Reservation {
  readonly #file: OpenFile;
  readonly #found: Holes;
  readonly #holes: (readonly [begin: number, end: number])[] = [];
  /** Does the file system know its holes, and share no blocks that it has? */
  #isPlain: boolean | undefined;

  constructor(file: OpenFile) {
    this.#file = file;
    this.#found = new Holes(file);
  }

  /** Reserves blocks for the bytes `from` to `to`, which the file has. */
  reserve(from: number, to: number): void {
    const file = this.#file;
    const holes = [...this.#found.in(from, to)];
    this.#isPlain ??= isPlain(file);
    const hasHoles = holes.length > 0;
    if (!hasHoles && (this.#isPlain || !sharesBlocks(file, from, to))) return;
    this.#holes.push(...holes);
    if (unshare(file, from, to)) return;
    const ranges = asksForAll(file) ? holes : [[from, to] as const];
    if (ranges.every(([begin, end]) => allocate(file, begin, end))) return;
    const zeros = new Uint8Array(BUFFER);
    checkRoom(file, holes.reduce((sum, [begin, end]) => sum + end - begin, 0));
    for (const [begin, end] of holes) {
      for (let at = begin; at < end; at += BUFFER) {
        file.write(zeros.subarray(0, end - at), at);
      }
    }
  }

  /**
   * Makes holes of what were holes. Where others have written meanwhile, their bytes
   * stay. Throws nothing: the failure that led here says more.
   */
  giveBack(): void {
    const file = this.#file;
    const bytes = new Uint8Array(BUFFER);
    try {
      for (const [begin, end] of this.#holes) {
        const last = Math.min(end, file.size);
        for (let at = begin; at < last; at += BUFFER) {
          const there = bytes.subarray(0, last - at);
          file.read(there, at);
          if (there.some((byte) => byte !== 0)) continue;
          punch(file, at, wholeBlocks(at + there.length));
        }
      }
    } catch {
      // The file is shorter by now, or cannot be read.
    }
  }
}

/** Does reserving blocks for bytes that have some ask for as much room as if they had none? */
function asksForAll(file: OpenFile): boolean {
  return statfs(file)?.type === XFS;
}

/**
 * Reserves blocks for the bytes `from` to `to`, holes of the file and what is behind its
 * end among them.
 */
export function reserveToWrite(file: OpenFile, from: number, to: number): void {
  if (!asksForAll(file)) return file.reserveRange(from, to);
  reserveHoles(file, from, Math.min(to, file.size));
  file.reserveRange(Math.max(from, file.size), to);
}

/**
 * Reserves blocks for what is a hole of the bytes `from` to `to`. Other than asking for
 * all of them, that takes no room for a moment where there are blocks.
 */
export function reserveHoles(file: OpenFile, from: number, to: number): void {
  for (const [begin, end] of [...new Holes(file).in(from, to)]) {
    allocate(file, begin, end);
  }
}

/**
 * Reserves blocks for the bytes `from` to `to`; the file keeps its size. False where
 * the system or the file system cannot.
 */
export function allocate(file: OpenFile, from: number, to: number): boolean {
  const { FALLOC_FL_KEEP_SIZE } = libc().constants;
  return fallocate(file, FALLOC_FL_KEEP_SIZE, from, to);
}

/**
 * Makes the bytes `from` to `to` zeros, and gives their blocks back. False where the
 * system or the file system cannot.
 */
export function punch(file: OpenFile, from: number, to: number): boolean {
  const { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } = libc().constants;
  const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  return fallocate(file, mode, from, to);
}

function fallocate(
  file: OpenFile,
  mode: number,
  from: number,
  to: number,
): boolean {
  const c = libc();
  if (c.fallocate === null) return false;
  // Sound: the descriptor is open, and no memory is involved.
  while (c.fallocate(file.fd, mode, from, to - from) === -1) {
    const errno = c.errno();
    const name = c.errnoName(errno);
    if (UNSUPPORTED.includes(name)) return false;
    if (name !== "EINTR") throw errnoError(errno, "fallocate", file.path);
  }
  return true;
}

/** `offset`, rounded up. */
function wholeBlocks(offset: number): number {
  return Math.ceil(offset / BLOCK) * BLOCK;
}

/**
 * The holes of a file that are asked for part by part. What was found last is kept: the
 * system may look through a file to its end to find the next hole.
 */
class Holes {
  readonly #file: OpenFile;
  /** Where data was found last; in front of it is a hole from `#from` on. */
  #from = 0;
  #begin = 0;
  #end = 0;

  constructor(file: OpenFile) {
    this.#file = file;
  }

  /** Those that `from` to `to` touch, as whole blocks. */
  *in(
    from: number,
    to: number,
  ): Generator<readonly [begin: number, end: number]> {
    const { size } = this.#file;
    const end = Math.min(wholeBlocks(to), size);
    for (let at = Math.floor(from / BLOCK) * BLOCK; at < end;) {
      if (at < this.#from || at >= this.#end) {
        this.#from = at;
        [this.#begin, this.#end] = this.#file.nextData(at, size);
      }
      if (this.#begin > at) yield [at, Math.min(this.#begin, end)];
      at = this.#end;
    }
  }
}

/** Throws `ENOSPC` where the disk has no room for `length` bytes, as far as it tells. */
function checkRoom(file: OpenFile, length: number): void {
  const found = statfs(file);
  if (found === undefined || found.size === 0) return;
  // What is kept for root is root's.
  const room = libc().geteuid() === 0 ? found.free : found.room;
  if (room >= length) return;
  const reason = `${length} bytes are needed, and ${room} are free`;
  throw systemError("ENOSPC", "fstatfs", file.path, reason);
}

/** What holds the file: its type, and in bytes its unit, size, what is free and for all. */
function statfs(
  file: OpenFile,
):
  | { type: number; unit: number; size: number; free: number; room: number }
  | undefined {
  const c = libc();
  const found = new BigInt64Array(32); // twice as large as the largest
  // Sound: the descriptor is open, and the call writes 120 bytes at most.
  if (c.fstatfs === null || c.fstatfs(file.fd, found) === -1) return undefined;
  const [type, unit, size, free, room] = Array.from(
    found.subarray(0, 5),
    Number,
  ) as [number, number, number, number, number];
  return {
    type: type >>> 0,
    unit,
    size: size * unit,
    free: free * unit,
    room: room * unit,
  };
}
