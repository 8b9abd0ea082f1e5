/**
 * The guarded ranges of the process: a table that the handler walks.
 *
 * Knows how the handler's data lie, and which thread has which row. Must not know how
 * the handler is installed. It lies in memory of its own, behind the code:
 *
 * ```text
 * code, read-execute    0  the handler, in the first bytes of 64 KiB
 * data, read-write      0  u64  the handler that was there before
 *                       8  u64  bytes in a page
 *                      16  u32  rows of the table that were ever used
 *                      20  u32  threads that are inside the handler
 *                      32       32 zeros: SIG_DFL as rt_sigaction takes it
 *                      64  u32  rows that the table has
 *                      68  u32  how often one was given back
 *                      72  i32  kernel mappings that wait in quarantine.ts
 *                     128       the table
 * a row, 32 bytes       0  u64  where the range begins
 *                       8  u64  its bytes; 0 while the row does not count
 *                      16  u32  faults
 *                      20  u32  1 if the row belongs to a range
 *                      24  u64  the page of the first fault, 0 before
 * ```
 *
 * After a few faults the handler replaces more than one page, up to the end of the
 * range, since what a cut took ends there too. Reading all of it is then few faults
 * and few mappings, of which Linux allows 65,530. By then the range cannot be trusted
 * in any case.
 *
 * Why it is sound. A row is published by its length, which is written last: a handler
 * on another thread sees a whole row or none. The handler says that it is inside before
 * it reads the first row. A thread that ends a row waits until no thread is inside
 * before the range is unmapped, so that a page is never laid over what came there
 * later. Both are sequentially consistent, so one of the two always sees the other.
 *
 * @module
 */

import type { GuardedRange } from "../libc.ts";

/** Ranges that can be guarded at once, in the whole process. */
export const ROWS: number = 16384;

// Offsets in the data, in units of the size of what is there.
const BEFORE = 0 / 8;
const PAGE_SIZE = 8 / 8;
const USED = 16 / 4;
const INSIDE = 20 / 4;
const ROWS_THERE = 64 / 4;
const GIVEN_BACK = 68 / 4;
const WAITING = 72 / 4;
const TABLE = 128;
const ROW = 32;
const BEGIN = 0 / 8;
const LENGTH = 8 / 8;
const FAULTS = 16 / 4;
const CLAIMED = 20 / 4;
const FIRST = 24 / 8;

/** Bytes of the handler's data. */
export const SIZE: number = TABLE + ROWS * ROW;

/** Fills in the data of a new handler, which are zeros; the handler before it is set last. */
export function setUp(
  data: ArrayBuffer,
  pageSize: number,
): { setBefore(handler: number): void } {
  const longs = new BigUint64Array(data);
  longs[PAGE_SIZE] = BigInt(pageSize);
  new Int32Array(data)[ROWS_THERE] = ROWS;
  return {
    setBefore: (handler) => {
      longs[BEFORE] = BigInt(handler);
    },
  };
}

/** The guarded ranges of the process, as this thread sees them. */
export class Table {
  /** The address of the handler that walks it. */
  readonly handler: number;
  readonly #buffer: ArrayBuffer;
  readonly #words: Int32Array;
  readonly #longs: BigUint64Array;
  readonly #pageSize: number;
  readonly #isInstalled: () => boolean;
  /** Rows that this thread gave back, which saves it a search. */
  readonly #free: number[] = [];
  /** How often a row had been given back when this thread found none. */
  #fullAt: number | undefined;
  /** See {@linkcode Guard.waiting}. */
  readonly waiting: Int32Array;

  /** `isInstalled`: does the process's handler still lead to this table? */
  constructor(
    memory: ArrayBuffer,
    handler: number,
    pageSize: number,
    isInstalled: () => boolean,
  ) {
    this.handler = handler;
    this.#buffer = memory;
    this.waiting = new Int32Array(memory, WAITING * 4, 1);
    this.#words = new Int32Array(memory);
    this.#longs = new BigUint64Array(memory);
    this.#pageSize = pageSize;
    this.#isInstalled = isInstalled;
  }

  get hasAllRows(): boolean {
    return this.#words[ROWS_THERE] === ROWS;
  }

  watch(address: number, length: number): GuardedRange | null {
    const row = this.#claim();
    if (row === undefined) return null;
    const at = TABLE + row * ROW;
    const long = at / 8;
    this.#longs[long + FIRST] = 0n;
    this.#words[at / 4 + FAULTS] = 0;
    this.#longs[long + BEGIN] = BigInt(address);
    // The whole last page: processors and C libraries read a little too far.
    const pages = Math.ceil(length / this.#pageSize);
    const size = BigInt(pages * this.#pageSize);
    Atomics.store(this.#longs, long + LENGTH, size);
    return {
      faults: new Int32Array(this.#buffer, at + 4 * FAULTS, 1),
      firstFault: () => Number(this.#longs[long + FIRST]) - address,
      isActive: () => this.#isInstalled(),
      end: () => this.#end(row),
    };
  }

  #end(row: number): void {
    const at = TABLE + row * ROW;
    Atomics.store(this.#longs, at / 8 + LENGTH, 0n);
    // A thread inside may have found the row before. It stays for one mmap at most.
    while (Atomics.load(this.#words, INSIDE) !== 0);
    Atomics.store(this.#words, at / 4 + CLAIMED, 0);
    Atomics.add(this.#words, GIVEN_BACK, 1);
    this.#free.push(row);
  }

  /** Claims a row for this thread alone. Returns `undefined` if none is free. */
  #claim(): number | undefined {
    for (;;) {
      const row = this.#free.pop();
      if (row === undefined) break;
      if (this.#take(row)) return row; // unless another thread found it
    }
    for (;;) {
      const used = Atomics.load(this.#words, USED);
      if (used >= ROWS) break;
      Atomics.compareExchange(this.#words, USED, used, used + 1);
      if (this.#take(used)) return used;
    }
    const givenBack = Atomics.load(this.#words, GIVEN_BACK);
    if (givenBack === this.#fullAt) return undefined;
    for (let row = 0; row < ROWS; row++) if (this.#take(row)) return row;
    this.#fullAt = givenBack;
    return undefined;
  }

  #take(row: number): boolean {
    const at = (TABLE + row * ROW) / 4 + CLAIMED;
    return Atomics.compareExchange(this.#words, at, 0, 1) === 0;
  }
}
