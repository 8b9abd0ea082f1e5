/**
 * One mapped region and every view handed out over it.
 *
 * The only file that unmaps. Its promise: no address that JavaScript can still
 * reach is ever unmapped. JavaScript reaches an address through an ArrayBuffer,
 * so each one handed out is kept in a list, and before the region goes, each is
 * detached (`transfer(0)`, which copies nothing). Two kinds cannot be: one that
 * Bun pins for an asynchronous operation stays attached, and one that the user
 * moved elsewhere (`transfer()`, `structuredClone`, `postMessage`) is detached
 * already, its bytes in a buffer that nobody here knows. Such bytes are *stuck*:
 * fresh anonymous memory is laid over their pages, which then stay for good, so
 * that a late access finds zeros and never faults.
 *
 * Knows nothing of slices, modes or flush.
 *
 * @module
 */

import { type Libc, libc } from "../ffi/libc.ts";
import { errnoError } from "./errors.ts";

/** Bytes of address space that are cheaper than one more kernel mapping. */
const SMALL = 2 ** 30;

/** Half-open, in bytes from the start of the region. */
type Range = readonly [begin: number, end: number];

/**
 * The addresses of one `mmap` and the buffers over them. Apart from
 * {@linkcode Mapping} so that it can outlive it: a mapping that is garbage
 * collected leaves its region to the finalizers below.
 */
class Region {
  readonly #libc: Libc;
  readonly #address: number;
  readonly #size: number;
  /** What is handed out, attached when last looked at. */
  #views = new Map<ArrayBuffer, Range>();
  /** Those of them that no user ever sees, and so nobody can have moved. */
  readonly #own = new WeakSet<ArrayBuffer>();
  /** Where a buffer beyond our reach may still point. */
  readonly #stuck: Range[] = [];
  /** Views still alive after the mapping itself was collected. */
  #orphans = 0;

  constructor(c: Libc, address: number, size: number) {
    this.#libc = c;
    this.#address = address;
    this.#size = size;
  }

  get hasViews(): boolean {
    return this.#views.size > 0 || this.#stuck.length > 0;
  }

  view(begin: number, end: number, isOwn: boolean): ArrayBuffer {
    const buffer = this.#libc.arrayBuffer(this.#address + begin, end - begin);
    this.#views.set(buffer, [begin, end]);
    if (isOwn) this.#own.add(buffer);
    return buffer;
  }

  revoke(buffer: ArrayBuffer): void {
    const range = this.#views.get(buffer);
    if (range === undefined) return;
    this.#views.delete(buffer);
    if (!detach(buffer)) this.#stuck.push(range);
  }

  isStuckAfter(offset: number): boolean {
    for (const [buffer, range] of this.#views) {
      if (range[1] > offset && buffer.detached) return true;
    }
    return this.#stuck.some(([, end]) => end > offset);
  }

  /** Lets the region go, stuck bytes excepted. */
  release(): void {
    for (const buffer of [...this.#views.keys()]) this.revoke(buffer);
    this.#unmap();
  }

  /**
   * The mapping was collected unclosed, and with it whoever could hand out more
   * views. Those that are alive keep the region until they are collected too.
   */
  abandon(): void {
    const views = this.#views;
    this.#views = new Map();
    for (const [buffer, range] of views) {
      if (buffer.detached) {
        this.#stuck.push(range);
      } else {
        this.#orphans++;
        const isMovable = !this.#own.has(buffer);
        ORPHANS.register(buffer, { region: this, range, isMovable });
      }
    }
    if (this.#orphans === 0) this.#unmap();
  }

  /**
   * The last handle on `range` was collected. Whether it had been moved into
   * another buffer first, nobody can tell any more, so its pages count as stuck.
   */
  orphanCollected(range: Range, isMovable: boolean): void {
    // Islands of memory do not merge, and the system allows only so many: in a small
    // region, all up to there is kept as one.
    const begin = this.#size <= SMALL ? 0 : range[0];
    if (isMovable) this.#stuck.push([begin, range[1]]);
    if (--this.#orphans === 0) this.#unmap();
  }

  #unmap(): void {
    const c = this.#libc;
    let at = 0;
    for (const [begin, end] of this.#stuckPages()) {
      // Sound: whole pages inside this region, which nobody else maps, and
      // every buffer over it is either detached or meant to read zeros.
      const flags = c.constants.MAP_PRIVATE | c.constants.MAP_ANONYMOUS |
        c.constants.MAP_NORESERVE | c.constants.MAP_FIXED;
      const laid = c.mmap(
        this.#address + begin,
        end - begin,
        c.constants.PROT_READ | c.constants.PROT_WRITE,
        flags,
        -1,
        0,
      );
      // Without memory for that, keeping the bytes is a leak but no fault.
      if (laid === -1) return;
      // Sound: nothing attached reaches the pages between two stuck ranges.
      if (begin > at) c.munmap(this.#address + at, begin - at);
      at = end;
    }
    if (this.#size > at) c.munmap(this.#address + at, this.#size - at);
  }

  /** The stuck ranges, widened to whole pages, joined, in order. */
  #stuckPages(): Range[] {
    const { pageSize } = this.#libc;
    const pages = this.#stuck
      .map(([begin, end]): [number, number] => [
        Math.floor(begin / pageSize) * pageSize,
        Math.min(Math.ceil(end / pageSize) * pageSize, this.#size),
      ])
      .sort((a, b) => a[0] - b[0]);
    const joined: [number, number][] = [];
    for (const range of pages) {
      const last = joined.at(-1);
      if (last !== undefined && range[0] <= last[1]) {
        last[1] = Math.max(last[1], range[1]);
      } else joined.push(range);
    }
    return joined;
  }
}

/**
 * Detaches `buffer`; false where its bytes stay within somebody's reach.
 * `transfer(0)` never copies: where Bun pins a buffer, plain `transfer()` would.
 */
function detach(buffer: ArrayBuffer): boolean {
  if (buffer.detached) return false; // moved by the user: they reach it still
  try {
    buffer.transfer(0);
  } catch {
    return false; // refused: it is as attached as before
  }
  return buffer.detached;
}

// A region is held by these registries alone once its mapping is gone.
const ABANDONED = new FinalizationRegistry<Region>((region) =>
  region.abandon()
);
const ORPHANS = new FinalizationRegistry<{
  region: Region;
  range: Range;
  isMovable: boolean;
}>(({ region, range, isMovable }) => region.orphanCollected(range, isMovable));

/** How a file is mapped. */
export interface FileMapping {
  readonly fd: number;
  /** Shared with the file, or a private copy that is made as pages are written. */
  readonly shared: boolean;
  /** Charge the memory that private copies may need; see overcommit in mmap(2). */
  readonly charged: boolean;
}

/** A mapped region of memory, released once, by hand or by garbage collection. */
export class Mapping {
  readonly #libc: Libc;
  readonly #region: Region;
  readonly #path: string;
  // 0 for an empty mapping, which has no memory at all.
  readonly #address: number;
  #isReleased = false;
  /** Bytes of address space; what is used of them is the owner's business. */
  readonly capacity: number;
  /** Have the bytes been open to writes since they were last known to be on disk? */
  #touched = false;

  private constructor(
    c: Libc,
    address: number,
    capacity: number,
    path: string,
  ) {
    this.#libc = c;
    this.#address = address;
    this.capacity = capacity;
    this.#path = path;
    this.#region = new Region(c, address, capacity);
    if (capacity > 0) ABANDONED.register(this, this.#region, this);
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
    // PROT_WRITE even where the API forbids writes: a stray write through a raw
    // view then costs a private page, where a read-only page would be SIGSEGV.
    const protection = c.constants.PROT_READ | c.constants.PROT_WRITE;
    const flags =
      (file.shared ? c.constants.MAP_SHARED : c.constants.MAP_PRIVATE) |
      (file.charged ? 0 : c.constants.MAP_NORESERVE);
    for (const size of new Set([length + spare, length])) {
      if (size === 0) break;
      // Sound: a fresh range of the kernel's choice, a length above 0, an offset
      // of 0, and a descriptor that the caller holds open during the call.
      const address = c.mmap(0, size, protection, flags, file.fd, 0);
      if (address !== -1) return new Mapping(c, address, size, path);
      if (size === length) throw errnoError(c.errno(), "mmap", path);
    }
    return new Mapping(c, 0, 0, path);
  }

  /** Maps `length` zero bytes of memory that no file backs. */
  static anonymous(length: number, path: string): Mapping {
    const c = libc();
    const flags = c.constants.MAP_PRIVATE | c.constants.MAP_ANONYMOUS |
      c.constants.MAP_NORESERVE;
    const protection = c.constants.PROT_READ | c.constants.PROT_WRITE;
    // Sound: as above; POSIX has -1 for the descriptor of anonymous memory.
    const address = c.mmap(0, length, protection, flags, -1, 0);
    if (address === -1) throw errnoError(c.errno(), "mmap", path);
    return new Mapping(c, address, length, path);
  }

  /** Where the bytes are. Every access asks here, so none comes after release. */
  get address(): number {
    if (!this.#isReleased) return this.#address;
    throw new Error(`A mapping of '${this.#path}' was used after its release.`);
  }

  /** May bytes differ from what is on disk? False as long as no one could write. */
  get touched(): boolean {
    return this.#touched || this.#region.hasViews;
  }

  /** Notes a write that did not go through a view. */
  touch(): void {
    this.#touched = true;
  }

  /**
   * A new ArrayBuffer over bytes `begin` to `end`, without a copy. Valid until
   * {@linkcode revoke} or {@linkcode release}. `isOwn`: will no user ever see it?
   */
  view(begin: number, end: number, isOwn = false): ArrayBuffer {
    if (begin === end) return new ArrayBuffer(0); // both runtimes refuse 0 bytes
    const limit = this.#libc.maxBufferLength;
    if (end - begin > limit) {
      throw new RangeError(
        `${end - begin} bytes are more than the ${limit} of this runtime's ` +
          "largest ArrayBuffer; cut them into smaller slices.",
      );
    }
    this.address; // checks that there is one
    return this.#region.view(begin, end, isOwn);
  }

  /** Detaches a buffer of {@linkcode view}, as far as that can be done. */
  revoke(buffer: ArrayBuffer): void {
    this.#touched = true; // it may have been written through
    this.#region.revoke(buffer);
  }

  /** Runs `use` with the bytes `begin` to `end`, which it must not keep. */
  borrow<T>(begin: number, end: number, use: (bytes: Uint8Array) => T): T {
    const buffer = this.view(begin, end);
    try {
      return use(new Uint8Array(buffer));
    } finally {
      this.revoke(buffer);
    }
  }

  /** Do bytes at or after `offset` have a view that cannot be detached? */
  isStuckAfter(offset: number): boolean {
    return this.#region.isStuckAfter(offset);
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

  /** Forgets what {@linkcode touched} knew: all bytes are on disk now. */
  markSynced(): void {
    this.#touched = false;
  }

  /** `madvise`, widened to whole pages. */
  advise(advice: number, begin: number, end: number): void {
    if (begin === end) return;
    const from = this.#pageBegin(begin);
    const c = this.#libc;
    // Sound: page-aligned, and within this mapping; no advice that the library
    // gives changes what the bytes of a shared mapping read as.
    if (c.madvise(this.address + from, end - from, advice) === -1) {
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
    return found === 0 ? -1 : found - this.address;
  }

  /** `memmove` from `source` of another mapping, or this one. */
  copyFrom(source: Mapping, from: number, to: number, length: number): void {
    this.#touched = true;
    // Sound: the callers keep both ranges within their mappings.
    this.#libc.memmove(this.address + to, source.address + from, length);
  }

  /** Sets `length` bytes from `at` to `byte`. */
  fill(byte: number, at: number, length: number): void {
    this.#touched = true;
    // Sound: as above.
    this.#libc.memset(this.address + at, byte, length);
  }

  /** Are `length` bytes the same here and there? */
  equals(other: Mapping, at: number, otherAt: number, length: number): boolean {
    // Sound: as above.
    return this.#libc.memcmp(
      this.address + at,
      other.address + otherAt,
      length,
    ) === 0;
  }

  /** Detaches every view and unmaps what can be unmapped. Once only. */
  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    if (this.capacity === 0) return;
    ABANDONED.unregister(this);
    this.#region.release();
  }

  #pageBegin(offset: number): number {
    const { pageSize } = this.#libc;
    return Math.floor(offset / pageSize) * pageSize;
  }
}
