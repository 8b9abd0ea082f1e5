/**
 * The addresses of one `mmap`, and every ArrayBuffer handed out over them.
 *
 * This is the only file that unmaps memory which users saw. Its promise: no address
 * that JavaScript can still reach is ever unmapped. JavaScript reaches an address
 * through an ArrayBuffer, so every buffer handed out is recorded, and all of them are
 * detached before the region goes (`transfer(0)`, which copies nothing).
 *
 * Two kinds of buffers cannot be detached. Bun pins a buffer that an asynchronous
 * operation uses, and it stays attached. A buffer that the user moved elsewhere
 * (`transfer()`, `structuredClone`, `postMessage`) is detached already, and its bytes
 * are in another buffer that is unknown here. Such bytes have *escaped*: fresh
 * anonymous memory is laid over their pages, which then stay for good, so that a late
 * access reads zeros and never faults.
 *
 * Deno pins nothing: an operation goes on with the bytes of a detached buffer. Bytes
 * of which a user had a buffer are therefore *in flight* when the region goes. Zeros
 * are laid over their pages, which stay reserved for a long time (`quarantine.ts`).
 *
 * Must not know files, or what the bytes are for.
 *
 * @module
 */

import { type GuardedRange, type Libc, libc, runtime } from "../../ffi/mod.ts";
import { checkStack } from "../geometry/mod.ts";
import { detach, isDetached } from "./buffers.ts";
import type { Quarantine, Row } from "./quarantine.ts";
import { type Range, Ranges } from "./ranges.ts";
import {
  FILES,
  FLOATING,
  HUGE_FILES,
  HUGE_PAGE,
  makeRoom,
} from "./reserved.ts";

/** Up to this size, address space is cheaper than one more kernel mapping. Bytes. */
const SMALL_REGION = 2 ** 30;

/** The bytes of a buffer that was handed out, from the start of the region. */
interface View extends Range {
  /** Never seen by a user, so that nobody can have moved it or be working on it. */
  readonly isOwn: boolean;
}

/** What is mapped, and how. */
export interface RegionOptions {
  /** The file, or -1 for memory. */
  readonly fd: number;
  /** Bytes that are in use; the rest is address space to grow into. */
  readonly used: number;
  /** The flags of `mmap`. */
  readonly flags: number;
  /** Put it under the fault guard, if there is one. */
  readonly guarded: boolean;
  /** Bytes in a page of hugetlbfs; 0 if the file is on no such file system. */
  readonly hugePage: number;
}

/**
 * A range of mapped memory. It is apart from its `Mapping` so that it can outlive it:
 * the finalizers look after the region of a mapping that was garbage collected.
 */
export class Region {
  // Once the mapping was collected, these two alone hold its region.
  static readonly #ownedRegions = new FinalizationRegistry<Region>((region) =>
    region.#abandon()
  );
  static readonly #orphanedViews = new FinalizationRegistry<
    { region: Region; view: View }
  >(({ region, view }) => region.#orphanCollected(view));

  readonly #libc: Libc;
  readonly address: number;
  readonly #size: number;
  /** Granularity of what can be mapped, unmapped and advised on. */
  readonly pageSize: number;
  /**
   * Granularity of the pages that are kept. A multiple of the page size, so that the
   * next region in the row is aligned, too.
   */
  readonly #unit: number;
  /** Keeps the process alive when pages are lost. `null` without a guard. */
  readonly guard: GuardedRange | null;
  /** The buffers handed out. They were attached when last looked at. */
  #views = new Map<ArrayBuffer, View>();
  /** Where a buffer that cannot be detached may point. */
  readonly #escaped = new Ranges();
  /** Spans all bytes that an operation may use although their buffer is detached. */
  #inFlight: Range | null = null;
  readonly #quarantine: Quarantine;
  /**
   * The addresses at whose end this region was asked for; the system may have placed it
   * elsewhere.
   */
  readonly #row: Row;
  /** Views still alive after the mapping itself was collected. */
  #orphans = 0;
  /** Once memory is unmapped, others may map theirs there: never a second time. */
  #isGone = false;

  private constructor(
    c: Libc,
    address: number,
    size: number,
    pageSize: number,
    unit: number,
    guard: GuardedRange | null,
    quarantine: Quarantine,
    row: Row,
  ) {
    this.#libc = c;
    this.address = address;
    this.#size = size;
    this.pageSize = pageSize;
    this.#unit = unit;
    this.guard = guard;
    this.#quarantine = quarantine;
    this.#row = row;
  }

  /**
   * Maps `length` bytes, at least one. Returns `null` if the system refuses, and
   * `errno` says why.
   */
  static map(length: number, options: RegionOptions): Region | null {
    checkStack(); // or memory could be mapped that nobody knows of
    const c = libc();
    const { fd, used, flags, guarded, hugePage } = options;
    // PROT_WRITE even where the API forbids writes: a stray write through a raw
    // view then costs a private page, where a read-only page would be SIGSEGV.
    const protection = c.constants.PROT_READ | c.constants.PROT_WRITE;
    // Linux aligns only those addresses that are its own choice.
    const isHuge = fd !== -1 && used >= HUGE_PAGE;
    const pageSize = hugePage || c.pageSize;
    const unit = hugePage || (isHuge ? HUGE_PAGE : c.pageSize);
    const isRounded = isHuge || hugePage > 0;
    const size = isRounded ? Math.ceil(length / unit) * unit : length;
    const quarantine = fd === -1
      ? FLOATING
      : unit % HUGE_PAGE === 0
      ? HUGE_FILES
      : FILES;
    const row = quarantine.take();
    // Sound: a fresh range where the kernel chooses, since without MAP_FIXED the
    // address is a mere hint; a length above 0; an offset of 0; and a descriptor that
    // the caller holds open during the call, or -1, which is for memory. Pages past
    // a file's end may be mapped; nobody accesses them.
    const map = () => c.mmap(row.end, size, protection, flags, fd, 0);
    let address = map();
    // Reserved addresses are not given back for the sake of spare room: the caller
    // tries again without it, and there may be enough.
    if (address === -1 && length <= used && makeRoom(c, size)) address = map();
    if (address === -1) {
      quarantine.leave(row);
      return null;
    }
    const guard = guarded ? c.guard?.watch(address, size) ?? null : null;
    return new Region(
      c,
      address,
      size,
      pageSize,
      unit,
      guard,
      quarantine,
      row,
    );
  }

  /**
   * Abandons the region when `owner` is garbage collected, unless it was released
   * before. The owner is whoever can hand out more views.
   */
  abandonWith(owner: object): void {
    Region.#ownedRegions.register(owner, this, this);
  }

  /** Is a buffer handed out, or has a byte escaped? */
  get hasViews(): boolean {
    return this.#views.size > 0 || !this.#escaped.isEmpty;
  }

  /** Spans all bytes that somebody may write to by an address that he has; `null`: none. */
  get reach(): Range | null {
    let [begin, end] = [Infinity, 0];
    const add = (range: Range) => {
      begin = Math.min(begin, range.begin);
      end = Math.max(end, range.end);
    };
    for (const view of this.#views.values()) add(view);
    for (const range of this.#escaped) add(range);
    if (this.#inFlight !== null) add(this.#inFlight);
    return begin < end ? { begin, end } : null;
  }

  /** May somebody else write at this moment, such as an operation on another thread? */
  get isExposed(): boolean {
    if (!this.#escaped.isEmpty || this.#inFlight !== null) return true;
    for (const { isOwn } of this.#views.values()) if (!isOwn) return true;
    return false;
  }

  /** Do `length` bytes at an address share one with this region? */
  overlaps(address: number, length: number): boolean {
    return address < this.address + this.#size &&
      address + length > this.address;
  }

  /** A new buffer over bytes `begin` to `end`. `isOwn`: no user will ever see it. */
  view(begin: number, end: number, isOwn: boolean): ArrayBuffer {
    const buffer = runtime().arrayBuffer(this.address + begin, end - begin);
    this.#views.set(buffer, { begin, end, isOwn });
    return buffer;
  }

  /**
   * Detaches a buffer of {@linkcode view}. Its bytes have escaped if that fails. Returns
   * which bytes those were; `undefined` if it is not one of those.
   */
  revoke(buffer: ArrayBuffer): Range | undefined {
    const view = this.#views.get(buffer);
    if (view === undefined) return undefined;
    if (!detach(buffer)) this.#addEscaped(view);
    else if (!runtime().pinsBuffers && !view.isOwn) this.#addInFlight(view);
    // Last: what throws before, such as too deep a stack, leaves the buffer listed.
    this.#views.delete(buffer);
    return view;
  }

  #addEscaped({ begin, end }: Range): void {
    this.#escaped.add({ begin: this.#firstKept(begin), end });
  }

  #addInFlight({ begin, end }: Range): void {
    const before = this.#inFlight ?? { begin: this.#firstKept(begin), end };
    this.#inFlight = {
      begin: Math.min(before.begin, begin),
      end: Math.max(before.end, end),
    };
  }

  /**
   * Where the kept pages begin if the byte at `begin` must stay. Pages kept in the
   * middle of a region are a kernel mapping of their own, and the number of those is
   * limited. So a small region keeps everything from its start on, which the kernel
   * can join with what is reserved in front of it.
   */
  #firstKept(begin: number): number {
    return this.#size <= SMALL_REGION ? 0 : begin;
  }

  /** An operation whose buffer is detached may be using bytes before this one. */
  get inFlightEnd(): number {
    return this.#inFlight?.end ?? 0;
  }

  /**
   * Lays zeros over all pages from `offset` on, if an operation may be using one of
   * them. Returns where the region's own memory ends after that.
   */
  cover(offset: number): number {
    const { pageSize } = this;
    const begin = Math.ceil(offset / pageSize) * pageSize;
    if (this.inFlightEnd <= begin) return this.#size;
    return this.#layZeros(begin, this.#size) ? begin : this.#size;
  }

  /**
   * Makes whole pages of a region of memory zero, and gives back what they held. Returns
   * false, with nothing changed, if the system refuses.
   */
  renew(begin: number, end: number): boolean {
    return this.#layZeros(begin, end);
  }

  /** Has a byte at or after `offset` escaped? */
  hasEscapedAfter(offset: number): boolean {
    for (const [buffer, { end }] of this.#views) {
      if (end > offset && isDetached(buffer)) return true;
    }
    return this.#escaped.end > offset;
  }

  /** Detaches all buffers. What throws here can be tried again. */
  revokeAll(): void {
    for (const buffer of this.#views.keys()) this.revoke(buffer);
  }

  /**
   * Unmaps everything but what has escaped or is in flight, unless that was done. No
   * buffer is left, and none will be asked for.
   */
  unmap(): void {
    this.#unmap();
    Region.#ownedRegions.unregister(this);
  }

  /**
   * The owner was collected unreleased. Views that are alive keep the region until they
   * are collected too; so `#views`, which would keep them alive, lets go of them.
   */
  #abandon(): void {
    const alive = [...this.#views].filter(([buffer]) => !isDetached(buffer));
    // All of them are counted before the first can be collected.
    this.#orphans = alive.length;
    for (const [buffer, view] of this.#views) {
      if (isDetached(buffer)) this.#addEscaped(view);
      else Region.#orphanedViews.register(buffer, { region: this, view });
    }
    this.#views = new Map();
    if (alive.length === 0) this.#unmap();
  }

  /**
   * The last handle on `view` was collected. The user may have moved its bytes into
   * another buffer before, which cannot be found out any more, so they count as
   * escaped.
   */
  #orphanCollected(view: View): void {
    if (!view.isOwn) this.#addEscaped(view);
    if (--this.#orphans === 0) this.#unmap();
  }

  #unmap(): void {
    if (this.#isGone) return;
    const c = this.#libc;
    const kept = this.#keptPages();
    for (const { begin, end } of kept) {
      // Without memory for zeros, keep all as it is: a leak, but no fault.
      if (!this.#layZeros(begin, end)) return;
    }
    this.#isGone = true;
    // First, or the handler could lay a page over what others map there later.
    this.guard?.end();
    let at = 0;
    for (
      const { begin, end } of [...kept, { begin: this.#size, end: this.#size }]
    ) {
      // Sound: nothing reaches the pages between two ranges that are kept.
      if (begin > at) c.munmap(this.address + at, begin - at);
      at = end;
    }
    this.#leaveRow(kept);
  }

  /** Tells the quarantine what stays of the region. */
  #leaveRow(kept: readonly Range[]): void {
    const row = this.#row;
    const isAtEnd = row.end === this.address;
    const [first, last] = [kept[0], kept.at(-1)];
    if (first === undefined || last === undefined) {
      if (isAtEnd) this.#quarantine.leave(row);
    } else if (!this.#escaped.isEmpty) {
      // Escaped bytes stay for good, and so does what is in flight among them.
      if (isAtEnd) this.#quarantine.skip(this.address + last.end);
    } else {
      this.#quarantine.add(
        this.address + first.begin,
        this.address + last.end,
        row,
        // At the end of a row, the next mapping goes right behind what is kept.
        // Elsewhere what is kept of a huge region leaves no room for another one.
        isAtEnd || this.#size <= SMALL_REGION ? last.end : this.#size,
      );
    }
  }

  /** Returns false, and leaves the bytes as they are, if the system has no memory for it. */
  #layZeros(begin: number, end: number): boolean {
    const c = this.#libc;
    const { PROT_READ, PROT_WRITE } = c.constants;
    const flags = c.constants.MAP_PRIVATE | c.constants.MAP_ANONYMOUS |
      c.constants.MAP_NORESERVE | c.constants.MAP_FIXED;
    // Sound: whole pages inside this region, which nobody else maps, and every
    // buffer over them is either detached or meant to read zeros.
    const lay = () =>
      c.mmap(
        this.address + begin,
        end - begin,
        PROT_READ | PROT_WRITE,
        flags,
        -1,
        0,
      ) !== -1;
    return lay() || (makeRoom(c, end - begin) && lay());
  }

  /** What has escaped or is in flight, in whole units: in order, and joined. */
  #keptPages(): Range[] {
    const unit = this.#unit;
    const pages = new Ranges();
    const add = ({ begin, end }: Range) =>
      pages.add({
        begin: Math.floor(begin / unit) * unit,
        end: Math.ceil(end / unit) * unit,
      });
    for (const range of this.#escaped) add(range);
    if (this.#inFlight !== null) add(this.#inFlight);
    return [...pages];
  }
}
