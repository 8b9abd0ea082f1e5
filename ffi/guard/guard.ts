/**
 * The fault guard: a lost page reads as zeros instead of ending the process.
 *
 * When a file is cut short by another process, or its disk fills up or fails, the
 * next access to a page of it is SIGBUS. The guard's handler lays an anonymous page
 * over that one, counts the fault, and lets the access be made again. It is machine
 * code (`code.ts`) that walks a table of guarded ranges, in memory of its own:
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
 *                       8  u64  its bytes; 0 as long as the row does not count
 *                      16  u32  faults
 *                      20  u32  1 if the row is somebody's
 *                      24  u64  the page of the first fault, 0 before
 * ```
 *
 * There is one handler and one table in a process, shared by its threads: whoever
 * finds the handler installed goes on with it. Two threads that install one at the
 * same instant make a chain of two, each with its own table, which works as well.
 * A handler that comes later has the guard's place. Whether it passes on what it does
 * not know, nobody can tell (Deno's does, Bun's does not), so that maps count as
 * unguarded then. Where there is none at all any more, the next map installs the guard
 * again: Rust's, which Deno has, removes itself when kill() sends the signal.
 *
 * After some faults more than the page is laid, up to the end of the range, since
 * what a cut took ends there, too: reading all of it is few faults and few mappings,
 * of which Linux allows 65,530. The range cannot be trusted by then in any case.
 *
 * Why it is sound. A row is published by its length, which is written last; a
 * handler on another thread sees a whole row or none. It says that it is inside
 * before it looks at the first row, and who ends a row waits until nobody is inside
 * before the range is unmapped: so a page is never laid over what came there later.
 * Both are sequentially consistent, so one of the two always sees the other.
 *
 * @module
 */

import { CODE_SIZE } from "./code.ts";
import type { Guard, GuardedRange, Libc } from "../libc.ts";

/** What the guard asks of the C library. */
export type GuardCalls =
  & Pick<
    Libc,
    "constants" | "pageSize" | "mmap" | "munmap" | "arrayBuffer"
  >
  & {
    mprotect(address: number, length: number, protection: number): number;
    /** `struct sigaction` as bytes; `null` where it is not wanted. */
    sigaction(
      signal: number,
      action: Uint8Array | null,
      before: Uint8Array | null,
    ): number;
  };

/** Ranges that can be guarded at once, in the whole process. */
export const ROWS: number = 16384;

// Offsets in the data, by the size of what is there.
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

// Linux on x86-64 and arm64, glibc and musl: a handler, 128 bytes of mask, flags,
// and a restorer, which the C library fills in.
const SIGACTION_SIZE = 152;
const SIGACTION_FLAGS = 136;
const SIGBUS = 7;
const SA_SIGINFO = 4;
const SA_ONSTACK = 0x08000000;
const SA_NODEFER = 0x40000000;
const PROT_EXEC = 4;

/** The guard of this process; `null` where there is no handler for its system. */
export function guardOf(c: GuardCalls, handler: string | null): Guard | null {
  if (handler === null) return null;
  const code = bytesOfHex(handler);
  // At the first map: who only imports the library keeps his handlers.
  let table: Table | null | undefined;
  const installed = () => {
    if (table === undefined) table = install(c, code);
    else if (table !== null && !table.isTaken()) table.reinstall();
    return table;
  };
  return {
    watch: (address, length) => installed()?.watch(address, length) ?? null,
    isThere: () => installed() !== null,
    get waiting() {
      return table?.waiting ?? null;
    },
  };
}

function bytesOfHex(text: string): Uint8Array {
  return Uint8Array.from(
    { length: text.length / 2 },
    (_, i) => parseInt(text.slice(i * 2, i * 2 + 2), 16),
  );
}

/** The table of the handler that is installed, or that of a new one; `null` if the system refuses. */
function install(c: GuardCalls, code: Uint8Array): Table | null {
  const address = installedHandler(c);
  if (address === null) return null;
  if (isOurs(c, code, address)) {
    const table = new Table(c, code, address);
    // Another release of this library may have the same code, and another table.
    if (table.rows === ROWS) return table;
  }
  return installNew(c, code);
}

// Asked for at each map: a new one every time would be most of what the guard costs.
const CURRENT_ACTION = new Uint8Array(SIGACTION_SIZE);
const CURRENT_HANDLER = new BigUint64Array(CURRENT_ACTION.buffer, 0, 1);

/** The address of the process's handler; 0 and 1 are SIG_DFL and SIG_IGN. `null` if the system refuses. */
function installedHandler(c: GuardCalls): number | null {
  // Sound: the buffer is as large as the structure, and lives through the call.
  if (c.sigaction(SIGBUS, null, CURRENT_ACTION) === -1) return null;
  return Number(CURRENT_HANDLER[0]);
}

/** Makes `address` the handler; answers the one before it, `null` if the system refuses. */
function setHandler(c: GuardCalls, address: number): number | null {
  const [action, before] = [0, 1].map(() => new Uint8Array(SIGACTION_SIZE));
  const fields = new DataView(action.buffer);
  fields.setBigUint64(0, BigInt(address), true);
  const flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  fields.setUint32(SIGACTION_FLAGS, flags, true);
  // Sound: as above; the handler and its data are complete, and stay for good.
  if (c.sigaction(SIGBUS, action, before) === -1) return null;
  return Number(new DataView(before.buffer).getBigUint64(0, true));
}

/**
 * Is the handler at `address` this very code? It begins a page, so that looking at
 * its bytes leaves neither the page nor what is mapped there.
 */
function isOurs(c: GuardCalls, code: Uint8Array, address: number): boolean {
  if (address === 0 || address % c.pageSize !== 0) return false;
  // Sound: on the systems that the guard is for, what can be executed can be read,
  // and the code is shorter than a page.
  const there = new Uint8Array(c.arrayBuffer(address, code.length));
  return there.every((byte, i) => byte === code[i]);
}

function installNew(c: GuardCalls, code: Uint8Array): Table | null {
  const { PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS } = c.constants;
  const size = CODE_SIZE + TABLE + ROWS * ROW;
  // Sound: fresh memory of the kernel's choice. It stays for good: a thread may be
  // in the handler at any time.
  const address = c.mmap(
    0,
    size,
    PROT_READ | PROT_WRITE,
    MAP_PRIVATE | MAP_ANONYMOUS,
    -1,
    0,
  );
  if (address === -1) return null;
  const page = c.arrayBuffer(address, code.length);
  new Uint8Array(page).set(code);
  page.transfer(0); // nobody shall write to it from now on
  const data = c.arrayBuffer(address + CODE_SIZE, TABLE);
  const longs = new BigUint64Array(data);
  longs[PAGE_SIZE] = BigInt(c.pageSize);
  new Int32Array(data)[ROWS_THERE] = ROWS;
  // Sound: our own memory, page-aligned. On arm64 this is also what makes the
  // instructions visible: Linux cleans the caches of a page that becomes executable.
  const isExecutable = c.mprotect(address, CODE_SIZE, PROT_READ | PROT_EXEC);
  let before = installedHandler(c);
  if (isExecutable !== -1 && before !== null) {
    longs[BEFORE] = BigInt(before);
    before = setHandler(c, address);
    if (before !== null) {
      // Another thread may have installed its own just now: it comes next.
      longs[BEFORE] = BigInt(before);
      return new Table(c, code, address);
    }
  }
  c.munmap(address, size); // sound: nobody else knows of it
  return null;
}

/** The guarded ranges of the process, as this thread sees them. */
class Table {
  readonly #c: GuardCalls;
  readonly #code: Uint8Array;
  readonly #handler: number;
  readonly #buffer: ArrayBuffer;
  readonly #words: Int32Array;
  readonly #longs: BigUint64Array;
  readonly #pageSize: number;
  /** Rows that this thread gave back, so that it need not search for one. */
  readonly #free: number[] = [];
  /** How often a row had been given back when this thread found none. */
  #fullAt: number | undefined;
  /** See {@linkcode Guard.waiting}. */
  readonly waiting: Int32Array;

  constructor(c: GuardCalls, code: Uint8Array, handler: number) {
    this.#c = c;
    this.#code = code;
    this.#handler = handler;
    // Sound: the data are never unmapped.
    this.#buffer = c.arrayBuffer(handler + CODE_SIZE, TABLE + ROWS * ROW);
    this.waiting = new Int32Array(this.#buffer, WAITING * 4, 1);
    this.#words = new Int32Array(this.#buffer);
    this.#longs = new BigUint64Array(this.#buffer);
    this.#pageSize = c.pageSize;
  }

  get rows(): number {
    return this.#words[ROWS_THERE];
  }

  /** Is there a handler, whosever it is? */
  isTaken(): boolean {
    return (installedHandler(this.#c) ?? 0) > 1;
  }

  /** Is it ours, or that of another table, which passes on to ours? */
  #isInstalled(): boolean {
    const address = installedHandler(this.#c);
    return address === this.#handler ||
      (address !== null && isOurs(this.#c, this.#code, address));
  }

  /** Takes the place that nobody has. The handler before stays the one it was. */
  reinstall(): void {
    setHandler(this.#c, this.#handler);
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
    // Who is inside may have found the row before. It is a matter of one mmap.
    while (Atomics.load(this.#words, INSIDE) !== 0);
    Atomics.store(this.#words, at / 4 + CLAIMED, 0);
    Atomics.add(this.#words, GIVEN_BACK, 1);
    this.#free.push(row);
  }

  /** A row for this thread alone, or `undefined` if there is none. */
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
