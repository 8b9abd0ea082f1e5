/**
 * The quarantine: addresses that JavaScript cannot reach any more, but that native
 * code may still be using.
 *
 * An asynchronous operation uses a buffer's memory on another thread. Bun pins such a
 * buffer, so that it cannot be detached. Deno lets it be detached while the operation
 * goes on, and does not say when it ends. So in Deno, memory of which a user had a
 * view is not unmapped when it is released: zeros are laid over it, which cost no
 * memory, and its addresses are reserved here. They are given back after so many
 * others have come that an operation would have to be older than all of those, or,
 * where the system lacks room, after so long that no operation is still at work.
 *
 * Address space is plentiful (128 TiB on x86-64 and arm64), but kernel mappings are
 * not (65,530 by default on Linux). The kernel joins mappings that touch. So reserved
 * addresses form rows: a new mapping is placed at the end of a row, where much is
 * free, and what is left of it extends the row.
 *
 * Must not know memory or the system: {@linkcode Memory} stands for both.
 *
 * @module
 */

/** Reserved addresses, half-open; empty at first. A row grows at its end. */
export interface Row {
  begin: number;
  end: number;
  /** When addresses were last added, in milliseconds. */
  grownAt: number;
  /** Bytes of address space that cannot be used for something else because of it. */
  taken: number;
}

/** What the quarantine asks of the system. */
export interface Memory {
  unmap(begin: number, end: number): void;
  /** An address with much free address space after it. */
  findRoom(): number;
  /** Adds to the number of rows in the whole process, and returns the sum. */
  count(change: number): number;
  /** Milliseconds, from any time on. */
  now(): number;
}

/** How much may be reserved. */
export interface Limits {
  /** Rows in the whole process. */
  readonly rows: number;
  /**
   * Rows that a thread may have however many the others have. The rows of a thread
   * that was terminated are never given back, and still count.
   */
  readonly own: number;
  /** Bytes of address space, in all rows of this quarantine. */
  readonly bytes: number;
  /** Bytes after which a row grows no further, so that the oldest ones can go. */
  readonly row: number;
  /** Milliseconds after which no operation is at work any more. */
  readonly idle: number;
}

const LIMITS: Limits = {
  rows: 4096,
  own: 128,
  bytes: 2 ** 45,
  row: 2 ** 30,
  idle: 600_000,
};

/** Rows of reserved addresses. */
export class Quarantine {
  readonly #memory: Memory;
  readonly #limits: Limits;
  /** The rows that are not empty. The one that has not grown for longest comes first. */
  readonly #rows = new Set<Row>();
  /** The rows that may grow, and have nothing mapped at their end. */
  readonly #free: Row[] = [];
  #bytes = 0;

  constructor(memory: Memory, limits: Limits = LIMITS) {
    this.#memory = memory;
    this.#limits = limits;
  }

  /** Takes a row to map something at its end. Nobody else gets it before {@linkcode leave}. */
  take(): Row {
    const row = this.#free.pop();
    if (row !== undefined) return row;
    const room = this.#memory.findRoom();
    return { begin: room, end: room, grownAt: 0, taken: 0 };
  }

  /** What was mapped at the end of a row is gone and leaves nothing to reserve. */
  leave(row: Row): void {
    if (row.end - row.begin < this.#limits.row) this.#free.push(row);
  }

  /**
   * What was mapped at the end of a row leaves `begin` to `end` to reserve. Gives back
   * the oldest rows beyond the limits. `taken`: how much address space that costs. A
   * page that stays in the middle of a huge mapping leaves a gap that the next such
   * mapping does not fit into.
   */
  add(begin: number, end: number, row: Row, taken: number = end - begin): void {
    this.#bytes += taken;
    const grownAt = this.#memory.now();
    // Not at the row's end: something else is there by now, and the row grows no more.
    const added = row.end === begin
      ? row
      : { begin, end: begin, grownAt, taken: 0 };
    added.end = end;
    added.grownAt = grownAt;
    added.taken += taken;
    if (added === row) this.leave(row);
    let count = this.#memory.count(this.#rows.delete(added) ? 0 : 1);
    this.#rows.add(added); // as the newest
    const { rows, own, bytes } = this.#limits;
    for (const oldest of this.#rows) {
      const areFew = count <= rows || this.#rows.size <= own;
      if (oldest === added || (areFew && this.#bytes <= bytes)) break;
      count = this.#giveBack(oldest);
    }
  }

  /** What was mapped at the end of a row stays there for good, up to `end`. */
  skip(end: number): void {
    // What the row has reserved stays so, but nothing can be mapped at its end. A new
    // row goes on behind.
    this.leave({ begin: end, end, grownAt: 0, taken: 0 });
  }

  /** Bytes in rows that have been left alone for so long that no operation uses them. */
  get idleBytes(): number {
    let sum = 0;
    for (const { begin, end } of this.#idleRows()) sum += end - begin;
    return sum;
  }

  /** Gives back what {@linkcode idleBytes} counts. */
  giveBackIdle(): void {
    for (const row of this.#idleRows()) this.#giveBack(row);
  }

  *#idleRows(): Generator<Row> {
    const before = this.#memory.now() - this.#limits.idle;
    for (const row of this.#rows) {
      if (row.grownAt > before) return; // and so are all that follow
      yield row;
    }
  }

  #giveBack(row: Row): number {
    const { begin, end } = row;
    this.#rows.delete(row);
    this.#bytes -= row.taken;
    row.taken = 0;
    row.begin = end; // empty, but it may grow again from here
    this.#memory.unmap(begin, end);
    return this.#memory.count(-1);
  }
}
