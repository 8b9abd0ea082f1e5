/**
 * Moves bytes into a file: from another file, from memory, or within the file.
 *
 * Small pieces are gathered, so that a million of them are not a million writes.
 * Memory stays at one buffer, whatever the file's size. Knows nothing of layouts: a
 * strategy of flush says what goes where, in file order.
 *
 * @module
 */

import type { Run } from "../geometry/mod.ts";
import { Mapping } from "../memory/mod.ts";
import type { OpenFile } from "./open_file.ts";
import type { Steps } from "./steps.ts";

/** Bytes that are gathered before they are written, and read at a time. */
const BUFFER = 2 ** 20;
/** The most bytes that one step moves, so that progress is shown between. */
const STEP = 2 ** 26;
/** Bytes written before the disk is told to begin with them. */
const BATCH = 2 ** 23;

/** Moves bytes into one file. */
export class Copier {
  readonly #source: OpenFile;
  readonly #target: OpenFile;
  /** Will the disk be waited for, so that it had better begin at once? */
  readonly #isAwaited: boolean;
  readonly #memory: Mapping;
  readonly #buffer: Uint8Array;
  /** Where in the target the gathered bytes belong, and how many there are. */
  #at = 0;
  #filled = 0;
  /** What was written and the disk was not told of yet: begin and end. */
  #batch: [begin: number, end: number] | null = null;
  #hasWritten = false;

  constructor(source: OpenFile, target: OpenFile, isAwaited: boolean) {
    this.#source = source;
    this.#target = target;
    this.#isAwaited = isAwaited;
    this.#memory = Mapping.anonymous(BUFFER, target.path);
    this.#buffer = new Uint8Array(this.#memory.view(0, BUFFER, true));
  }

  /** Lets the buffer go. Once only. */
  release(): void {
    this.#memory.release();
  }

  /** Has the target been written to, or may it have been? */
  get hasWritten(): boolean {
    return this.#hasWritten;
  }

  /** Writes what is gathered. */
  *flush(): Steps {
    if (this.#filled === 0) return;
    yield {
      run: () => {
        this.#write(this.#buffer.subarray(0, this.#filled), this.#at);
        return this.#filled;
      },
    };
    this.#filled = 0;
  }

  /**
   * Gathers `length` bytes of `memory` for `to`. False where they are too many, or
   * there is no room: {@linkcode writeMemory} then. Apart from it because a
   * generator for each of a million slices takes longer than the copy.
   */
  gatherMemory(
    memory: Mapping,
    from: number,
    to: number,
    length: number,
  ): boolean {
    if (length === 0) return true;
    if (!this.#hasRoom(to, length)) return false;
    this.#memory.copyFrom(memory, from, this.#gathered(to, length), length);
    return true;
  }

  /** Writes `length` bytes of `memory` to `to`. */
  *writeMemory(
    memory: Mapping,
    from: number,
    to: number,
    length: number,
  ): Steps {
    if (this.gatherMemory(memory, from, to, length)) return;
    yield* this.flush();
    if (this.gatherMemory(memory, from, to, length)) return;
    for (let moved = 0; moved < length;) {
      const count = Math.min(STEP, length - moved);
      const begin = from + moved;
      const position = to + moved;
      moved += yield {
        run: () => {
          memory.borrow(
            begin,
            begin + count,
            (bytes) => this.#write(bytes, position),
          );
          return count;
        },
      };
    }
  }

  /** As {@linkcode gatherMemory}, of bytes of the source. */
  gatherSource(from: number, to: number, length: number): boolean {
    if (length === 0) return true;
    if (length >= BUFFER / 4 || !this.#hasRoom(to, length)) return false;
    const at = this.#gathered(to, length);
    this.#source.read(this.#buffer.subarray(at, at + length), from);
    return true;
  }

  /** Copies `length` bytes of the source into a target that reads zeros there so far. */
  *copy(from: number, to: number, length: number): Steps {
    if (this.gatherSource(from, to, length)) return;
    yield* this.flush();
    if (this.gatherSource(from, to, length)) return;
    const shift = to - from;
    const end = from + length;
    for (let at = from; at < end;) {
      const [begin, dataEnd] = this.#source.nextData(at, end);
      const skipped = begin - at;
      if (skipped > 0) yield { run: () => skipped };
      for (at = begin; at < dataEnd;) {
        const source = at;
        const left = dataEnd - at;
        at += yield {
          run: () => this.#copyPiece(source, source + shift, left),
        };
      }
    }
  }

  #copyPiece(from: number, to: number, length: number): number {
    const most = Math.min(length, STEP);
    const count = this.#source.copyTo(this.#target, from, to, most);
    if (count === 0) return this.#bounce(from, to, Math.min(length, BUFFER));
    this.#startDisk(to, to + count);
    return count;
  }

  /**
   * Moves bytes of one file towards its end, in the order of `runs`, each from its
   * last byte on; the ranges may overlap. Small runs share a step: a generator or a
   * step for each of a million would take longer than moving them.
   */
  *moveUp(runs: readonly Run[]): Steps {
    let next = 0;
    let left = runs[0]?.length ?? 0;
    const run = () => {
      let moved = 0;
      while (moved < BUFFER && next < runs.length) {
        const { from, to } = runs[next]!;
        const count = Math.min(BUFFER, left);
        left -= count;
        moved += this.#bounce(from + left, to + left, count);
        if (left === 0) left = runs[++next]?.length ?? 0;
      }
      return moved;
    };
    while (next < runs.length) yield { run };
  }

  /** As {@linkcode moveUp}, towards the file's start, each run from its first byte on. */
  *moveDown(runs: readonly Run[]): Steps {
    let next = 0;
    let done = 0;
    const run = () => {
      let moved = 0;
      while (moved < BUFFER && next < runs.length) {
        const { from, to, length } = runs[next]!;
        const count = Math.min(BUFFER, length - done);
        moved += this.#bounce(from + done, to + done, count);
        done += count;
        if (done === length) {
          next++;
          done = 0;
        }
      }
      return moved;
    };
    while (next < runs.length) yield { run };
  }

  /** Reads into the buffer, whose bytes are written already, and writes from there. */
  #bounce(from: number, to: number, length: number): number {
    const bytes = this.#buffer.subarray(0, length);
    this.#source.read(bytes, from);
    this.#write(bytes, to);
    return length;
  }

  #hasRoom(to: number, length: number): boolean {
    if (this.#filled === 0) return length < BUFFER;
    return to === this.#at + this.#filled && this.#filled + length <= BUFFER;
  }

  /** Counts `length` bytes for `to` as gathered; returns where they go in the buffer. */
  #gathered(to: number, length: number): number {
    if (this.#filled === 0) this.#at = to;
    const at = this.#filled;
    this.#filled += length;
    return at;
  }

  #write(bytes: Uint8Array, position: number): void {
    this.#hasWritten = true;
    this.#target.write(bytes, position);
    this.#startDisk(position, position + bytes.length);
  }

  /** Has the disk write one batch while the next is gathered. */
  #startDisk(begin: number, end: number): void {
    if (!this.#isAwaited) return;
    const [first, last] = this.#batch ?? [begin, end];
    const [from, to] = [Math.min(first, begin), Math.max(last, end)];
    if (to - from < BATCH) {
      this.#batch = [from, to];
      return;
    }
    this.#target.beginWriting(from, to);
    this.#batch = null;
  }
}
