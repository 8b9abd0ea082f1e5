/**
 * The addresses of one `mmap`, and every buffer handed out over them.
 *
 * The only file that unmaps what users saw. Its promise: no address that JavaScript
 * can still reach is ever unmapped. JavaScript reaches an address through an ArrayBuffer,
 * so each one handed out is kept in a list, and before the region goes, each is
 * detached (`transfer(0)`, which copies nothing). Two kinds cannot be: one that
 * Bun pins for an asynchronous operation stays attached, and one that the user
 * moved elsewhere (`transfer()`, `structuredClone`, `postMessage`) is detached
 * already, its bytes in a buffer that nobody here knows. Such bytes are *stuck*:
 * fresh anonymous memory is laid over their pages, which then stay for good, so
 * that a late access finds zeros and never faults. In Deno, which pins nothing, an
 * operation may go on with the bytes of any buffer that users had: those are *lent*,
 * and their pages stay for long (`quarantine.ts`).
 *
 * Knows nothing of files and of what the bytes are for.
 *
 * @module
 */

import { type GuardedRange, type Libc, libc, runtime } from "../../ffi/mod.ts";
import { type Memory, Quarantine, type Row } from "./quarantine.ts";

/** Bytes of address space that are cheaper than one more kernel mapping. */
const SMALL = 2 ** 30;

/**
 * Bytes of a huge page on x86-64 and arm64 with pages of 4 KiB. Where the file system
 * keeps files in large pieces (ext4 and XFS do), Linux maps so much of one at the first
 * touch, but only at addresses that are a multiple of it: of a random read in a file
 * that is in memory but new to the process, page faults cost a third then. The system
 * sees to that by itself where it may choose the address.
 */
const HUGE = 2 ** 21;

/** Half-open, in bytes from the start of the region. */
type Range = readonly [begin: number, end: number];

/** What is mapped where. */
export interface RegionOptions {
  /** The file, or -1 for memory. */
  readonly fd: number;
  /** Bytes that are there; the others are address space to grow into. */
  readonly used: number;
  /** Those of `mmap`. */
  readonly flags: number;
  /** Put it under the fault guard, if there is one. */
  readonly guarded: boolean;
}

/**
 * A range of mapped memory. Apart from `Mapping` so that it can outlive it: a mapping
 * that is garbage collected leaves its region to the finalizers below.
 */
export class Region {
  readonly #libc: Libc;
  readonly address: number;
  readonly #size: number;
  /** What is kept of it is whole ones of these, so that what comes next is aligned, too. */
  readonly #unit: number;
  /** What keeps the process alive when pages are lost, if anything does. */
  readonly guard: GuardedRange | null;
  /** What is handed out, attached when last looked at. */
  #views = new Map<ArrayBuffer, Range>();
  /** Those of them that no user ever sees, and so nobody can have moved. */
  readonly #own = new WeakSet<ArrayBuffer>();
  /** Where a buffer beyond our reach may still point. */
  readonly #stuck: Range[] = [];
  /** Where an operation may be at work, though its buffer is detached; from the first to the last. */
  #lent: Range | null = null;
  readonly #quarantine: Quarantine;
  /** What waits there, if bytes can be lent at all; the region may be at its end. */
  readonly #row: Row | undefined;
  /** Views still alive after the mapping itself was collected. */
  #orphans = 0;

  private constructor(
    c: Libc,
    address: number,
    size: number,
    unit: number,
    guard: GuardedRange | null,
    quarantine: Quarantine,
    row: Row | undefined,
  ) {
    this.#libc = c;
    this.address = address;
    this.#size = size;
    this.#unit = unit;
    this.guard = guard;
    this.#quarantine = quarantine;
    this.#row = row;
  }

  /** Maps `length` bytes, at least one; `null` where the system refuses, with `errno` saying why. */
  static map(length: number, options: RegionOptions): Region | null {
    const c = libc();
    const { fd, used, flags, guarded } = options;
    // PROT_WRITE even where the API forbids writes: a stray write through a raw
    // view then costs a private page, where a read-only page would be SIGSEGV.
    const protection = c.constants.PROT_READ | c.constants.PROT_WRITE;
    const isHuge = !runtime().pinsBuffers && fd !== -1 && used >= HUGE;
    const quarantine = fd === -1 ? FLOATING : isHuge ? HUGE_FILES : FILES;
    const row = runtime().pinsBuffers ? undefined : quarantine.take();
    const unit = isHuge ? HUGE : c.pageSize;
    const size = isHuge ? Math.ceil(length / HUGE) * HUGE : length;
    // Sound: a fresh range of the kernel's choice, for which the address is a mere
    // hint; a length above 0, an offset of 0; and a descriptor that the caller
    // holds open during the call, or -1, which POSIX has for memory. Pages past a
    // file's end may be mapped; nobody touches them.
    const map = () => c.mmap(row?.end ?? 0, size, protection, flags, fd, 0);
    let address = map();
    if (address === -1) {
      // Without the room to spare there may be enough; nothing is given back for that.
      if (length <= used && madeRoom(c)) address = map();
      if (address === -1) {
        if (row !== undefined) quarantine.leave(row);
        return null;
      }
    }
    const guard = guarded ? c.guard?.watch(address, size) ?? null : null;
    return new Region(c, address, size, unit, guard, quarantine, row);
  }

  get hasViews(): boolean {
    return this.#views.size > 0 || this.#stuck.length > 0;
  }

  view(begin: number, end: number, isOwn: boolean): ArrayBuffer {
    const buffer = runtime().arrayBuffer(this.address + begin, end - begin);
    this.#views.set(buffer, [begin, end]);
    if (isOwn) this.#own.add(buffer);
    return buffer;
  }

  revoke(buffer: ArrayBuffer): void {
    const range = this.#views.get(buffer);
    if (range === undefined) return;
    this.#views.delete(buffer);
    if (!detach(buffer)) this.#stuck.push(range);
    else if (!runtime().pinsBuffers && !this.#own.has(buffer)) {
      this.#lend(range);
    }
  }

  #lend([begin, end]: Range): void {
    const [first, last] = this.#lent ?? [this.#firstKept(begin), end];
    this.#lent = [Math.min(first, begin), Math.max(last, end)];
  }

  /**
   * Islands of memory do not merge, and the system allows only so many: of a small
   * region, all up to what is kept is kept with it.
   */
  #firstKept(begin: number): number {
    return this.#size <= SMALL ? 0 : begin;
  }

  /** Bytes before this one may be in use by an operation whose buffer is detached. */
  get lentEnd(): number {
    return this.#lent?.[1] ?? 0;
  }

  /** Lays zeros over the bytes from `offset` on, if an operation may be at work there. */
  cover(offset: number): number {
    const begin = Math.ceil(offset / this.#libc.pageSize) *
      this.#libc.pageSize;
    if (this.#lent === null || this.#lent[1] <= begin) return this.#size;
    return this.#layZeros(begin, this.#size) ? begin : this.#size;
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
    if (isMovable) this.#stuck.push([this.#firstKept(range[0]), range[1]]);
    if (--this.#orphans === 0) this.#unmap();
  }

  #unmap(): void {
    const c = this.#libc;
    const kept = this.#keptPages();
    for (const [begin, end] of kept) {
      // Without memory for that, keeping the bytes is a leak but no fault.
      if (!this.#layZeros(begin, end)) return;
    }
    // No handler may lay a page where something else is mapped by then.
    this.guard?.end();
    let at = 0;
    for (const [begin, end] of [...kept, [this.#size, this.#size]]) {
      // Sound: nothing reaches the pages between two that are kept.
      if (begin > at) c.munmap(this.address + at, begin - at);
      at = end;
    }
    if (this.#row === undefined) return;
    const last = this.address + (kept.at(-1)?.[1] ?? 0);
    const isAtEnd = this.#row.end === this.address;
    // Stuck bytes stay for good, and lent ones among them.
    if (this.#stuck.length > 0) {
      if (isAtEnd) this.#quarantine.skip(last);
    } else if (this.#lent === null) {
      if (isAtEnd) this.#quarantine.leave(this.#row);
    } else this.#quarantine.add(this.address + kept[0][0], last, this.#row);
  }

  /** False where the system has no memory for it: then the bytes are as they were. */
  #layZeros(begin: number, end: number): boolean {
    const c = this.#libc;
    const { PROT_READ, PROT_WRITE } = c.constants;
    const flags = c.constants.MAP_PRIVATE | c.constants.MAP_ANONYMOUS |
      c.constants.MAP_NORESERVE | c.constants.MAP_FIXED;
    // Sound: whole pages inside this region, which nobody else maps, and every
    // buffer over it is either detached or meant to read zeros.
    const lay = () =>
      c.mmap(
        this.address + begin,
        end - begin,
        PROT_READ | PROT_WRITE,
        flags,
        -1,
        0,
      ) !== -1;
    return lay() || (madeRoom(c) && lay());
  }

  /** The stuck and lent ranges, widened to whole units, joined, in order. */
  #keptPages(): Range[] {
    const unit = this.#unit;
    const lent = this.#lent === null ? [] : [this.#lent];
    const pages = [...this.#stuck, ...lent]
      .map(([begin, end]): [number, number] => [
        Math.floor(begin / unit) * unit,
        Math.ceil(end / unit) * unit,
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

/** What the operating system does for what waits. */
const MEMORY: Memory = {
  unmap(begin, end) {
    // Sound: pages of our own that nobody in JavaScript reaches, let go of long ago.
    libc().munmap(begin, end - begin);
  },
  findRoom() {
    const c = libc();
    const flags = c.constants.MAP_PRIVATE | c.constants.MAP_ANONYMOUS |
      c.constants.MAP_NORESERVE;
    // Sound: fresh memory that nobody may touch, and that goes at once.
    const address = c.mmap(0, ROOM, 0, flags, -1, 0);
    if (address === -1) return 0; // wherever the system likes
    c.munmap(address, ROOM);
    return Math.ceil(address / HUGE) * HUGE;
  },
  count(change) {
    const shared = libc().guard?.waiting;
    if (!shared) return ownCount += change;
    // What was counted before there was a guard is handed over to it.
    const all = change + ownCount;
    ownCount = 0;
    return Atomics.add(shared, 0, all) + all;
  },
};

/** Where there is no guard, each thread counts for itself. */
let ownCount = 0;

/** Address space to look for: rows' full length, and what the system puts there meanwhile. */
const ROOM = 2 ** 35;

/** Where lent bytes wait: those of files, small and large, and those of floating slices. */
const FILES = new Quarantine(MEMORY);
const HUGE_FILES = new Quarantine(MEMORY);
const FLOATING = new Quarantine(MEMORY);

/**
 * After an `mmap` that failed: where room was missing, gives back what waits, most of
 * which nobody uses any more. False if there was nothing to give, or to gain.
 */
function madeRoom(c: Libc): boolean {
  if (!WANTS_ROOM.includes(c.errnoName(c.errno()))) return false;
  const cleared = [FILES, HUGE_FILES, FLOATING].map((quarantine) =>
    quarantine.clear()
  );
  return cleared.includes(true);
}

/** `EAGAIN`: locked memory is limited, and all of the process's is locked. */
const WANTS_ROOM: readonly (string | undefined)[] = ["ENOMEM", "EAGAIN"];

// A region is held by these registries alone once its mapping is gone.
export const ABANDONED: FinalizationRegistry<Region> = new FinalizationRegistry(
  (region) => region.abandon(),
);
const ORPHANS = new FinalizationRegistry<{
  region: Region;
  range: Range;
  isMovable: boolean;
}>(({ region, range, isMovable }) => region.orphanCollected(range, isMovable));
