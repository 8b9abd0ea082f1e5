/**
 * Addresses that nobody in JavaScript reaches any more, but perhaps native code does.
 *
 * An asynchronous operation works on a buffer's memory on another thread. Bun pins
 * such a buffer, so that it cannot be detached; Deno lets it be detached and the
 * operation go on, and nobody can ask when it ends. So memory of which a user had a
 * view is not unmapped there when it is let go: zeros are laid over it, which cost
 * no memory, and its addresses wait here. They are given back when so many others
 * have come after them that an operation would have to be older than all of those.
 *
 * Address space is plenty (128 TiB on x86-64 and arm64), mappings are not (65,530
 * by default in Linux). The system joins mappings that touch; so a new one is placed
 * at the end of a row of what waits, where much is free, and what is left of it will
 * wait right there, too.
 *
 * Knows nothing of memory: it is told how to unmap, and where there is room.
 *
 * @module
 */

/** Waiting addresses, half-open; none yet if they are equal. A row grows at its end. */
export interface Row {
  begin: number;
  end: number;
}

/** What the quarantine asks of the system. */
export interface Memory {
  unmap(begin: number, end: number): void;
  /** An address behind which much is free. */
  findRoom(): number;
  /** Adds to how many rows the whole process has, and answers that. */
  count(change: number): number;
}

/** How much may wait. */
export interface Limits {
  /** In the whole process. */
  readonly rows: number;
  /**
   * Rows that a thread may have whatever the others have: threads that were ended
   * leave theirs behind, and nobody ever gives those back.
   */
  readonly own: number;
  /** Bytes of address space in all. */
  readonly bytes: number;
  /** Bytes after which a row grows no more, so that the oldest can go. */
  readonly row: number;
}

const LIMITS: Limits = {
  rows: 4096,
  own: 128,
  bytes: 2 ** 45,
  row: 2 ** 30,
};

/** Rows of addresses that wait. */
export class Quarantine {
  readonly #memory: Memory;
  readonly #limits: Limits;
  /** Those with something in them; the one that has not grown for longest comes first. */
  readonly #rows = new Set<Row>();
  /** Those that may grow, and have nothing mapped at their end. */
  readonly #free: Row[] = [];
  #bytes = 0;

  constructor(memory: Memory, limits: Limits = LIMITS) {
    this.#memory = memory;
    this.#limits = limits;
  }

  /** A row at whose end something is about to be mapped; nobody else gets it until {@linkcode leave}. */
  take(): Row {
    const row = this.#free.pop();
    if (row !== undefined) return row;
    const room = this.#memory.findRoom();
    return { begin: room, end: room };
  }

  /** What was mapped at the end of a row is gone, and left nothing to wait. */
  leave(row: Row): void {
    if (row.end - row.begin < this.#limits.row) this.#free.push(row);
  }

  /** What is mapped at the end of a row leaves `begin` to `end` to wait; the oldest rows beyond the limits go. */
  add(begin: number, end: number, row: Row): void {
    this.#bytes += end - begin;
    // If not at its end, something else is there by now: the row grows no more.
    const added = row.end === begin ? row : { begin, end: begin };
    added.end = end;
    if (added === row) this.leave(row);
    let count = this.#memory.count(this.#rows.delete(added) ? 0 : 1);
    this.#rows.add(added); // behind all others
    const { rows, own, bytes } = this.#limits;
    for (const oldest of this.#rows) {
      const areFew = count <= rows || this.#rows.size <= own;
      if (oldest === added || (areFew && this.#bytes <= bytes)) break;
      count = this.#giveBack(oldest);
    }
  }

  /** What is mapped at the end of a row leaves something there for good, up to `end`. */
  skip(end: number): void {
    // What waits already goes on waiting; it is no longer at the end of anything.
    this.leave({ begin: end, end });
  }

  /** Gives everything back, if there is anything: better a risk than no memory at all. */
  clear(): boolean {
    const hadAny = this.#rows.size > 0;
    for (const row of this.#rows) this.#giveBack(row);
    return hadAny;
  }

  #giveBack(row: Row): number {
    const { begin, end } = row;
    this.#rows.delete(row);
    this.#bytes -= end - begin;
    row.begin = end; // it may grow on from here
    this.#memory.unmap(begin, end);
    return this.#memory.count(-1);
  }
}
