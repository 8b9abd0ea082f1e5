/**
 * One mapped region of memory as the rest of the library uses it: bytes at offsets of
 * a file, or of no file.
 *
 * Every access to these bytes by a system call or by libc is here. Each one checks
 * first that the mapping is still there and that none of its pages were lost, and
 * checks the latter again afterwards, since the access itself may have been the first
 * to notice. `region.ts` owns the addresses and the ArrayBuffers over them.
 *
 * Must not know slices, modes or flush.
 *
 * @module
 */

import { type Libc, libc, runtime } from "../../ffi/mod.ts";
import {
  bytesOfView,
  copyOfTyped,
  errnoError,
  FaultError,
  lengthOfTyped,
  type Numbers,
  setBytes,
  type SystemError,
} from "../base/mod.ts";
import { detach } from "./buffers.ts";
import type { Range } from "./ranges.ts";
import { Region } from "./region.ts";

/** How a file is mapped. */
export interface FileMapping {
  readonly fd: number;
  /** Shared with the file; otherwise a private copy, made page by page on writing. */
  readonly shared: boolean;
  /** Charge the memory that private copies may need; see overcommit in mmap(2). */
  readonly charged: boolean;
  /** Put the mapping under the fault guard, if there is one. */
  readonly guarded: boolean;
  /** Bytes in its pages where those are hugetlbfs's own; 0 otherwise. */
  readonly hugePage: number;
}

/** Elements that are copied faster than an address is asked for. */
const FEW = 256;

/** Pages that the system is asked about at a time. */
const MOST_PAGES = 2 ** 16;

/** The fault count of mappings that have no guard. */
const NO_FAULTS: Int32Array = new Int32Array(1);

/** A mapped region of memory. Released once: by hand, or by garbage collection. */
export class Mapping {
  readonly #libc: Libc;
  /** `null` for an empty mapping, which has no memory. */
  readonly #region: Region | null;
  readonly #path: string;
  #isReleased = false;
  #hasReportedFaults = false;
  #capacity: number;
  /** Were bytes written, or open to writes, since all of them were last known to be on disk? */
  #maybeUnsynced = false;
  // Spans those bytes, but for what views reach that there are.
  #firstWritten = Infinity;
  #lastWritten = 0;
  readonly #isGuardedEmpty: boolean;
  /** One element: the number of pages found lost. It may be kept, and looked at without a call. */
  readonly faultCount: Int32Array;

  private constructor(
    region: Region | null,
    capacity: number,
    path: string,
    isGuardedEmpty = false,
  ) {
    this.#libc = libc();
    this.#region = region;
    this.#capacity = capacity;
    this.#path = path;
    this.#isGuardedEmpty = isGuardedEmpty;
    this.faultCount = region?.guard?.faults ?? NO_FAULTS;
    region?.abandonWith(this);
  }

  /**
   * Maps the first `length` bytes of a file, with address space for `spare` more if
   * the system has it: if the file grows into that, no view has to move. Pages past a
   * file's end may be mapped, on Linux and on macOS. They must not be accessed before
   * the file has them.
   */
  static ofFile(
    file: FileMapping,
    length: number,
    spare: number,
    path: string,
  ): Mapping {
    const c = libc();
    const flags =
      (file.shared ? c.constants.MAP_SHARED : c.constants.MAP_PRIVATE) |
      (file.charged ? 0 : c.constants.MAP_NORESERVE);
    const { fd, hugePage } = file;
    // The guard's pages cannot lie among huge ones.
    const guarded = file.guarded && hugePage === 0;
    // hugetlbfs lengthens a file to what is mapped of it.
    const sizes = hugePage === 0 ? [length + spare, length] : [length];
    for (const size of new Set(sizes)) {
      if (size === 0) break;
      const options = { fd, used: length, flags, guarded, hugePage };
      const region = Region.map(size, options);
      if (region !== null) return new Mapping(region, size, path);
      if (size === length) throw errnoError(c.errno(), "mmap", path);
    }
    return new Mapping(null, 0, path, guarded && c.guard?.isThere() === true);
  }

  /** Maps `length` zero bytes of memory that belong to no file. */
  static anonymous(length: number, path: string): Mapping {
    const c = libc();
    const flags = c.constants.MAP_PRIVATE | c.constants.MAP_ANONYMOUS |
      c.constants.MAP_NORESERVE;
    const region = Region.map(length, {
      fd: -1,
      used: length,
      flags,
      guarded: false,
      hugePage: 0,
    });
    if (region === null) throw errnoError(c.errno(), "mmap", path);
    return new Mapping(region, length, path);
  }

  /**
   * Where the bytes are. Throws after a release or a fault. Every access asks here, so
   * none goes to memory that is not this mapping's any more.
   */
  get address(): number {
    this.#checkUsable();
    return this.#region?.address ?? 0;
  }

  /** Bytes of address space. The owner decides how many of them are used. */
  get capacity(): number {
    return this.#capacity;
  }

  get isReleased(): boolean {
    return this.#isReleased;
  }

  /** Would the process survive the loss of a page? */
  get isGuarded(): boolean {
    return this.#region?.guard?.isActive() ?? this.#isGuardedEmpty;
  }

  /** The number of pages found lost. */
  get faults(): number {
    // Atomic, so that a loop that waits for a change cannot be compiled into one look.
    return Atomics.load(this.faultCount, 0);
  }

  /**
   * Throws a `FaultError` if a page was found lost. Called before an access, and after
   * it, since the access may have been the first to notice.
   */
  checkFaults(): void {
    // After the release, the count may belong to another mapping.
    if (this.faultCount[0] !== 0 && !this.#isReleased) this.#reportFaults();
  }

  /** Was a `FaultError` thrown? */
  get hasReportedFaults(): boolean {
    return this.#hasReportedFaults;
  }

  #reportFaults(cause?: unknown): never {
    this.#hasReportedFaults = true;
    const first = this.#region?.guard?.firstFault() ?? 0;
    const where = this.faults === 0 ? "" : ` (noticed at byte ${first})`;
    throw new FaultError(
      `'${this.#path}' lost bytes while it was mapped${where}: another process cut ` +
        "it short, or its disk is full or failing. Reads of the lost bytes have " +
        "returned zeros since, and writes to them are lost. Floating slices can " +
        "still be read. Let go of the map with close({ discard: true }), then open " +
        "the file again.",
      { cause },
    );
  }

  /**
   * Throws unless `length` bytes from `at` on lie within the mapping: the last look
   * before memory. Callers have checked what users gave; what fails here is a fault of
   * the library's, and must not become one of memory.
   */
  #checkBounds(at: number, length: number): void {
    if (
      Number.isSafeInteger(at) && at >= 0 &&
      Number.isSafeInteger(length) && length >= 0 &&
      at + length <= this.#capacity
    ) return;
    throw new RangeError(
      `${length} bytes at ${at} are not all within the ${this.#capacity} that are ` +
        `mapped of '${this.#path}'. Nothing was done. This is a fault of memmap's.`,
    );
  }

  #checkUsable(): void {
    if (this.#isReleased) {
      throw new Error(
        `A mapping of '${this.#path}' was used after its release.`,
      );
    }
    this.checkFaults();
  }

  /** May bytes differ from what is on disk? False as long as nobody could write. */
  get maybeUnsynced(): boolean {
    return this.#maybeUnsynced || this.#region?.hasViews === true;
  }

  /**
   * Spans the bytes that may have been written since {@linkcode markSynced}, or since they
   * were mapped; `null`: none.
   */
  get maybeWritten(): Range | null {
    const reach = this.#region?.reach;
    const begin = Math.min(this.#firstWritten, reach?.begin ?? Infinity);
    const end = Math.max(this.#lastWritten, reach?.end ?? 0);
    return begin < end ? { begin, end } : null;
  }

  #markWritten(begin: number, end: number): void {
    this.#maybeUnsynced = true;
    if (begin < this.#firstWritten) this.#firstWritten = begin;
    if (end > this.#lastWritten) this.#lastWritten = end;
  }

  /** Notes a write that went neither through a view nor through this mapping. */
  markUnsynced(): void {
    this.#markWritten(0, this.#capacity);
  }

  /** Notes that all bytes are on disk. */
  markSynced(): void {
    this.#maybeUnsynced = false;
    this.#firstWritten = Infinity;
    this.#lastWritten = 0;
  }

  /**
   * A new ArrayBuffer over bytes `begin` to `end`, without a copy. Valid until
   * {@linkcode revoke} or {@linkcode release}. `isOwn`: no user will ever see it.
   */
  view(begin: number, end: number, isOwn = false): ArrayBuffer {
    if (begin === end) return new ArrayBuffer(0); // both runtimes refuse 0 bytes
    const limit = runtime().maxBufferLength;
    if (end - begin > limit) {
      throw new RangeError(
        `${
          end - begin
        } bytes are more than this runtime's largest ArrayBuffer, ` +
          `which has ${limit}. Cut them into smaller slices.`,
      );
    }
    this.#checkUsable();
    this.#checkBounds(begin, end - begin);
    return this.#region!.view(begin, end, isOwn);
  }

  /** Detaches a buffer of {@linkcode view}, if that can be done. */
  revoke(buffer: ArrayBuffer): void {
    const range = this.#region?.revoke(buffer);
    if (range === undefined) detach(buffer); // it is empty, over no memory, but as stale
    else this.#markWritten(range.begin, range.end); // through it, perhaps
  }

  /** Detaches all buffers of {@linkcode view}, as {@linkcode revoke} does. */
  revokeAll(): void {
    const reach = this.#region?.reach;
    if (reach) this.#markWritten(reach.begin, reach.end);
    this.#region?.revokeAll();
  }

  /** Runs `use` with bytes `begin` to `end`, which it must not keep. */
  borrow<T>(begin: number, end: number, use: (bytes: Uint8Array) => T): T {
    const buffer = this.view(begin, end, true);
    let result: T;
    try {
      result = use(new Uint8Array(buffer));
    } catch (error) {
      // A system call that meets a lost page fails so, and raises no signal.
      if ((error as SystemError).code === "EFAULT") this.#reportFaults(error);
      throw error;
    } finally {
      this.revoke(buffer);
    }
    this.checkFaults();
    return result;
  }

  /** A copy of bytes `begin` to `end`, in memory of JavaScript's own. */
  copyOf(begin: number, end: number): Uint8Array<ArrayBuffer> {
    const before = this.#maybeUnsynced;
    const [first, last] = [this.#firstWritten, this.#lastWritten];
    const copy = this.borrow(begin, end, (bytes) => new Uint8Array(bytes));
    this.#maybeUnsynced = before; // nobody could write
    [this.#firstWritten, this.#lastWritten] = [first, last];
    return copy;
  }

  /**
   * Sets the bytes from `at` on to `values`, each of which becomes one byte, modulo
   * 256. The values may be of this very mapping.
   */
  write(at: number, values: Numbers): void {
    const end = at + lengthOfTyped(values);
    this.borrow(at, end, (bytes) => setBytes(bytes, this.#apart(values)));
  }

  /**
   * The values, or a copy where they may be of this mapping: they and the bytes to write
   * are in two buffers then, between which engines do not copy as `memmove` does. Few
   * are copied sooner than it is found out where they are.
   */
  #apart(values: Numbers): Numbers {
    const length = lengthOfTyped(values);
    if (length <= FEW) return copyOfTyped(values);
    const bytes = bytesOfView(values);
    const address = runtime().addressOf(bytes);
    const isOurs = this.#region?.overlaps(address, lengthOfTyped(bytes));
    return isOurs === true ? copyOfTyped(values) : values;
  }

  /**
   * As {@linkcode borrow}, with bytes that another thread uses until the promise of `use`
   * settles. The caller sees to it that the mapping is not released before.
   */
  async borrowLater<T>(
    begin: number,
    end: number,
    use: (bytes: Uint8Array) => Promise<T>,
  ): Promise<T> {
    const buffer = this.view(begin, end, true);
    let result: T;
    try {
      result = await use(new Uint8Array(buffer));
    } catch (error) {
      if ((error as SystemError).code === "EFAULT") this.#reportFaults(error);
      throw error;
    } finally {
      this.revoke(buffer);
    }
    this.checkFaults();
    return result;
  }

  /** May a byte at or after `offset` be reached through a buffer that cannot be detached? */
  hasEscapedAfter(offset: number): boolean {
    return this.#region?.hasEscapedAfter(offset) === true;
  }

  /** May users, or operations of theirs, write to bytes through a buffer? */
  get isExposed(): boolean {
    return this.#region?.isExposed === true;
  }

  /** An operation whose buffer is detached may be using bytes before this one. */
  get inFlightEnd(): number {
    return this.#region?.inFlightEnd ?? 0;
  }

  /**
   * Prepares for the file to end at `length`. An operation that still uses bytes
   * behind that finds zeros there, and the capacity ends before them.
   */
  cut(length: number): void {
    const covered = this.#region?.cover(length) ?? 0;
    this.#capacity = Math.min(this.#capacity, covered);
  }

  /** Waits until the bytes of a shared mapping are on disk: `msync(MS_SYNC)`. */
  sync(begin: number, end: number): void {
    if (begin === end) return;
    this.#checkBounds(begin, end - begin);
    const c = this.#libc;
    const from = this.#pageBegin(begin);
    const { MS_SYNC } = c.constants;
    // Sound: page-aligned, and within this mapping.
    while (c.msync(this.address + from, end - from, MS_SYNC) === -1) {
      const errno = c.errno();
      if (c.errnoName(errno) === "EINTR") continue;
      throw errnoError(errno, "msync", this.#path);
    }
  }

  /**
   * `madvise`, widened to whole pages. `mayLack`: a kernel that does not know the
   * advice does without it.
   */
  advise(advice: number, begin: number, end: number, mayLack = false): void {
    if (begin === end) return;
    this.#checkBounds(begin, end - begin);
    const c = this.#libc;
    const from = this.#pageBegin(begin);
    const to = Math.ceil(end / this.pageSize) * this.pageSize;
    // Sound: whole pages of this mapping. No advice that the library gives changes
    // what the bytes of a shared mapping read as, and MADV_DONTNEED alone what those of
    // a private one do.
    if (c.madvise(this.address + from, to - from, advice) !== -1) return;
    const errno = c.errno();
    // No room to note the advice: the system does without it, and so do we.
    const name = c.errnoName(errno);
    if (name === "ENOMEM" || name === "EAGAIN") return;
    if (mayLack && name === "EINVAL") return;
    throw errnoError(errno, "madvise", this.#path);
  }

  /**
   * Asks for huge pages under memory of its own, before its first write: most of the time
   * of that goes into page faults, and huge pages have 512 times fewer.
   */
  adviseHuge(begin: number, end: number): void {
    const { MADV_HUGEPAGE } = this.#libc.constants;
    if (MADV_HUGEPAGE !== undefined) {
      this.advise(MADV_HUGEPAGE, begin, end, true);
    }
  }

  /**
   * Drops what was written to whole pages of a private mapping of a file: they show the
   * file again. Views stay.
   */
  dropWritten(begin: number, end: number): void {
    if (begin === end) return;
    this.#checkUsable();
    this.#checkBounds(begin, end - begin);
    const c = this.#libc;
    const from = this.#pageBegin(begin);
    const to = Math.ceil(end / this.pageSize) * this.pageSize;
    const { MADV_DONTNEED } = c.constants;
    // Sound: whole pages of this mapping, which stays mapped.
    while (c.madvise(this.address + from, to - from, MADV_DONTNEED) === -1) {
      const errno = c.errno();
      const name = c.errnoName(errno);
      if (name !== "EAGAIN" && name !== "EINTR") {
        throw errnoError(errno, "madvise", this.#path);
      }
    }
  }

  /** Of the pages that have bytes `begin` to `end`: how many are in memory, and of how many. */
  residentPages(
    begin: number,
    end: number,
  ): readonly [resident: number, pages: number] {
    if (begin === end) return [0, 0];
    this.#checkBounds(begin, end - begin);
    const c = this.#libc;
    const { pageSize } = c; // also where a region has larger ones
    let at = Math.floor(begin / pageSize) * pageSize;
    const pages = Math.ceil((end - at) / pageSize);
    const found = new Uint8Array(Math.min(pages, MOST_PAGES));
    let resident = 0;
    for (let left = pages; left > 0;) {
      const count = Math.min(left, MOST_PAGES);
      const length = count * pageSize;
      // Sound: whole pages, all of which have bytes of this mapping; the array has a byte
      // for each, and lives through the call, which accesses none of them.
      if (c.mincore(this.address + at, length, found) === -1) {
        throw errnoError(c.errno(), "mincore", this.#path);
      }
      for (let i = 0; i < count; i++) resident += found[i]! & 1;
      at += length;
      left -= count;
    }
    return [resident, pages];
  }

  /** The offset of the first `pattern` in bytes `begin` to `end`, or -1. */
  find(pattern: Uint8Array, begin: number, end: number): number {
    this.#checkBounds(begin, end - begin);
    // Sound: the range is mapped, and the pattern is memory of our own that lives
    // through the call and that nobody changes meanwhile.
    const found = this.#libc.memmem(
      this.address + begin,
      end - begin,
      pattern,
      lengthOfTyped(pattern),
    );
    this.checkFaults();
    return found === 0 ? -1 : found - this.address;
  }

  /** `memmove` from another mapping, or within this one. */
  copyFrom(source: Mapping, from: number, to: number, length: number): void {
    this.#checkBounds(to, length);
    source.#checkBounds(from, length);
    this.#markWritten(to, to + length);
    // Sound: both ranges are within their mappings.
    this.#libc.memmove(this.address + to, source.address + from, length);
    this.checkFaults();
    source.checkFaults();
  }

  /** Sets `length` bytes from `at` on to `byte`. */
  fill(byte: number, at: number, length: number): void {
    this.#checkBounds(at, length);
    this.#markWritten(at, at + length);
    // Sound: the range is within the mapping.
    this.#libc.memset(this.address + at, byte, length);
    this.checkFaults();
  }

  /**
   * Sets `length` bytes from `at` on to zero, of a mapping that belongs to no file. The
   * pages in between are not written but replaced, and their memory is given back.
   */
  renew(at: number, length: number): void {
    this.#checkUsable();
    this.#checkBounds(at, length);
    const end = at + length;
    const first = Math.ceil(at / this.pageSize) * this.pageSize;
    const last = this.#pageBegin(end);
    if (first >= last || this.#region?.renew(first, last) !== true) {
      return this.fill(0, at, length);
    }
    this.fill(0, at, first - at);
    this.fill(0, last, end - last);
  }

  /** Are `length` bytes the same here and there? */
  equals(other: Mapping, at: number, otherAt: number, length: number): boolean {
    this.#checkBounds(at, length);
    other.#checkBounds(otherAt, length);
    // Sound: both ranges are within their mappings.
    const order = this.#libc.memcmp(
      this.address + at,
      other.address + otherAt,
      length,
    );
    this.checkFaults();
    other.checkFaults();
    return order === 0;
  }

  /**
   * Detaches every view, and unmaps what JavaScript cannot reach any more. Where it
   * throws, such as for too deep a stack, a second call goes on; else that does nothing.
   */
  release(): void {
    if (!this.#isReleased) this.#region?.revokeAll();
    this.#isReleased = true; // before anything is unmapped
    this.#region?.unmap();
  }

  /** Bytes of a page: what is mapped, advised on and written privately at a time. */
  get pageSize(): number {
    return this.#region?.pageSize ?? this.#libc.pageSize;
  }

  #pageBegin(offset: number): number {
    return Math.floor(offset / this.pageSize) * this.pageSize;
  }
}
