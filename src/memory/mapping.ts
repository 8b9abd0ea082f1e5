/**
 * One mapped region of memory as the rest of the library uses it: bytes at offsets
 * of a file, or of nothing.
 *
 * Every access to them by a system call or by libc is here; what is handed out as
 * an ArrayBuffer, and what becomes of the addresses, is `region.ts`'s business.
 * Each access asks first whether the mapping is still there and whether pages of
 * it were lost, and asks the latter again behind it: it may have been the first
 * to meet them.
 *
 * Knows nothing of slices, modes or flush.
 *
 * @module
 */

import { type Libc, libc, runtime } from "../../ffi/mod.ts";
import { errnoError, FaultError, type SystemError } from "../base/mod.ts";
import { Region } from "./region.ts";

/** How a file is mapped. */
export interface FileMapping {
  readonly fd: number;
  /** Shared with the file, or a private copy that is made as pages are written. */
  readonly shared: boolean;
  /** Charge the memory that private copies may need; see overcommit in mmap(2). */
  readonly charged: boolean;
  /** Put the mapping under the fault guard, if there is one. */
  readonly guarded: boolean;
}

/** The faults of memory that nobody guards, or that no file backs. */
const NO_FAULTS: Int32Array = new Int32Array(1);

/** A mapped region of memory, released once, by hand or by garbage collection. */
export class Mapping {
  readonly #libc: Libc;
  /** `null` for an empty mapping, which has no memory at all. */
  readonly #region: Region | null;
  readonly #path: string;
  #isReleased = false;
  #hasReportedFaults = false;
  #capacity: number;
  /** Have the bytes been open to writes since they were last known to be on disk? */
  #maybeUnsynced = false;
  readonly #isGuardedEmpty: boolean;
  /** One element: how many pages were found lost. Whoever keeps it need not ask. */
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
   * Maps the first `length` bytes of a file, with address space for `spare`
   * more if the system has it: when the file grows, they are there without a new
   * mapping, and no view has to move. Pages past a file's end may be mapped, on
   * Linux and macOS alike; they only must not be touched before the file has them.
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
    const { fd, guarded } = file;
    for (const size of new Set([length + spare, length])) {
      if (size === 0) break;
      const region = Region.map(size, { fd, used: length, flags, guarded });
      if (region !== null) return new Mapping(region, size, path);
      if (size === length) throw errnoError(c.errno(), "mmap", path);
    }
    return new Mapping(null, 0, path, guarded && c.guard?.isThere() === true);
  }

  /** Maps `length` zero bytes of memory that no file backs. */
  static anonymous(length: number, path: string): Mapping {
    const c = libc();
    const flags = c.constants.MAP_PRIVATE | c.constants.MAP_ANONYMOUS |
      c.constants.MAP_NORESERVE;
    const region = Region.map(length, {
      fd: -1,
      used: length,
      flags,
      guarded: false,
    });
    if (region === null) throw errnoError(c.errno(), "mmap", path);
    return new Mapping(region, length, path);
  }

  /** Where the bytes are. Every access asks here, so none comes after release, or a fault. */
  get address(): number {
    if (this.#isReleased) {
      throw new Error(
        `A mapping of '${this.#path}' was used after its release.`,
      );
    }
    this.checkFaults();
    return this.#region?.address ?? 0;
  }

  /** Would the process survive the loss of a page? */
  get isGuarded(): boolean {
    return this.#region?.guard?.isActive() ?? this.#isGuardedEmpty;
  }

  /** Has it been let go of? */
  get isReleased(): boolean {
    return this.#isReleased;
  }

  /** How many pages were found lost. */
  get faults(): number {
    // Atomic, since a loop that waits for a change may be compiled to look just once.
    return Atomics.load(this.faultCount, 0);
  }

  /** Throws a `FaultError` if a page was found lost. After an access, too: it may have been the first. */
  checkFaults(): void {
    // Once released, the count may be another mapping's.
    if (this.faultCount[0] !== 0 && !this.#isReleased) this.#refuse();
  }

  /** Was a `FaultError` thrown? */
  get hasReportedFaults(): boolean {
    return this.#hasReportedFaults;
  }

  #refuse(cause?: unknown): never {
    this.#hasReportedFaults = true;
    const first = this.#region?.guard?.firstFault() ?? 0;
    const where = this.faults === 0
      ? "bytes of it"
      : `bytes of it (noticed at byte ${first})`;
    throw new FaultError(
      `'${this.#path}' was cut short by another process while it was mapped, or ` +
        `its disk is full or failing: ${where} could not be reached. What was ` +
        "read there since is zeros, and what was written there is lost. Floating " +
        "slices can still be read; close({ discard: true }) lets go of the map, " +
        "and then the file can be opened again.",
      { cause },
    );
  }

  /** Bytes of address space; what is used of them is the owner's business. */
  get capacity(): number {
    return this.#capacity;
  }

  /** May bytes differ from what is on disk? False as long as no one could write. */
  get maybeUnsynced(): boolean {
    return this.#maybeUnsynced || this.#region?.hasViews === true;
  }

  /** Notes a write that did not go through a view. */
  markUnsynced(): void {
    this.#maybeUnsynced = true;
  }

  /**
   * A new ArrayBuffer over bytes `begin` to `end`, without a copy. Valid until
   * {@linkcode revoke} or {@linkcode release}. `isOwn`: will no user ever see it?
   */
  view(begin: number, end: number, isOwn = false): ArrayBuffer {
    if (begin === end) return new ArrayBuffer(0); // both runtimes refuse 0 bytes
    const limit = runtime().maxBufferLength;
    if (end - begin > limit) {
      throw new RangeError(
        `${end - begin} bytes are more than the ${limit} of this runtime's ` +
          "largest ArrayBuffer; cut them into smaller slices.",
      );
    }
    this.address; // checks that there is one
    return this.#region!.view(begin, end, isOwn);
  }

  /** Detaches a buffer of {@linkcode view}, as far as that can be done. */
  revoke(buffer: ArrayBuffer): void {
    this.#maybeUnsynced = true; // it may have been written through
    this.#region?.revoke(buffer);
  }

  /** Runs `use` with the bytes `begin` to `end`, which it must not keep. */
  borrow<T>(begin: number, end: number, use: (bytes: Uint8Array) => T): T {
    const buffer = this.view(begin, end, true);
    let result: T;
    try {
      result = use(new Uint8Array(buffer));
    } catch (error) {
      // A system call that meets a lost page answers this, and makes no signal.
      if ((error as SystemError).code === "EFAULT") this.#refuse(error);
      throw error;
    } finally {
      this.revoke(buffer);
    }
    this.checkFaults();
    return result;
  }

  /** Do bytes at or after `offset` have a view that cannot be detached? */
  hasEscapedAfter(offset: number): boolean {
    return this.#region?.hasEscapedAfter(offset) === true;
  }

  /** Bytes before this one may be in use by an operation whose buffer is detached. */
  get inFlightEnd(): number {
    return this.#region?.inFlightEnd ?? 0;
  }

  /**
   * The file ends at `length` now. An operation that is still at work behind it
   * finds zeros there; the mapping is then no larger than what is before them.
   */
  cut(length: number): void {
    const covered = this.#region?.cover(length) ?? 0;
    this.#capacity = Math.min(this.#capacity, covered);
  }

  /** Waits until the bytes of a shared mapping are on disk: `msync(MS_SYNC)`. */
  sync(begin: number, end: number): void {
    if (begin === end) return;
    const from = this.#pageBegin(begin);
    const c = this.#libc;
    // Sound: page-aligned, and within this mapping.
    while (
      c.msync(this.address + from, end - from, c.constants.MS_SYNC) === -1
    ) {
      const errno = c.errno();
      if (c.errnoName(errno) !== "EINTR") {
        throw errnoError(
          errno,
          "msync",
          this.#path,
        );
      }
    }
  }

  /** Forgets what {@linkcode maybeUnsynced} knew: all bytes are on disk now. */
  markSynced(): void {
    this.#maybeUnsynced = false;
  }

  /** `madvise`, widened to whole pages. */
  advise(advice: number, begin: number, end: number): void {
    if (begin === end) return;
    const from = this.#pageBegin(begin);
    const c = this.#libc;
    // Sound: page-aligned, and within this mapping; no advice that the library
    // gives changes what the bytes of a shared mapping read as.
    if (c.madvise(this.address + from, end - from, advice) === -1) {
      // Without room to note an advice the system goes without, and so do we.
      const name = c.errnoName(c.errno());
      if (name === "ENOMEM" || name === "EAGAIN") return;
      throw errnoError(c.errno(), "madvise", this.#path);
    }
  }

  /** The offset of `pattern` in bytes `begin` to `end`, or -1. */
  find(pattern: Uint8Array, begin: number, end: number): number {
    // Sound: the range is mapped, and the pattern lives through the call.
    const found = this.#libc.memmem(
      this.address + begin,
      end - begin,
      pattern,
      pattern.length,
    );
    this.checkFaults();
    return found === 0 ? -1 : found - this.address;
  }

  /** `memmove` from `source` of another mapping, or this one. */
  copyFrom(source: Mapping, from: number, to: number, length: number): void {
    this.#maybeUnsynced = true;
    // Sound: the callers keep both ranges within their mappings.
    this.#libc.memmove(this.address + to, source.address + from, length);
    this.checkFaults();
    source.checkFaults();
  }

  /** Sets `length` bytes from `at` to `byte`. */
  fill(byte: number, at: number, length: number): void {
    this.#maybeUnsynced = true;
    // Sound: as above.
    this.#libc.memset(this.address + at, byte, length);
    this.checkFaults();
  }

  /** Are `length` bytes the same here and there? */
  equals(other: Mapping, at: number, otherAt: number, length: number): boolean {
    // Sound: as above.
    const order = this.#libc.memcmp(
      this.address + at,
      other.address + otherAt,
      length,
    );
    this.checkFaults();
    other.checkFaults();
    return order === 0;
  }

  /** Detaches every view and unmaps what can be unmapped. Once only. */
  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#region?.release();
  }

  #pageBegin(offset: number): number {
    const { pageSize } = this.#libc;
    return Math.floor(offset / pageSize) * pageSize;
  }
}
