/**
 * Moves bytes into a file: from another file, from memory, or within the file.
 *
 * Knows nothing of layouts: `map/flush/` says what goes where, in file order.
 *
 * @module
 */

import type { MappedFile } from "./mapped_file.ts";
import type { Run } from "../geometry/mod.ts";
import { Mapping } from "../memory/mod.ts";

/** What is gathered before it is written, and read at a time. */
const BUFFER = 2 ** 20;
/** The most that one system call moves, so that progress is shown between. */
const PIECE = 2 ** 26;

/** Bytes written before the disk is told to begin with them. */
const BATCH = 2 ** 23;

/** Called with the bytes done and to do. */
export type Progress = (done: number, total: number) => void;

/**
 * Moves bytes into a file, small pieces gathered so that a million of them are
 * not a million writes. Memory stays at one buffer, whatever the file's size.
 */
export class Mover {
  readonly #source: MappedFile;
  readonly #target: MappedFile;
  readonly #total: number;
  readonly #onProgress: Progress | undefined;
  readonly #memory: Mapping;
  readonly #bytes: Uint8Array;
  /** Bytes gathered, for `#at` in the target. */
  #filled = 0;
  #at = 0;
  #done = 0;
  /** Where bytes were written that the disk was not told of: begin and end. */
  #batch: [number, number] | null = null;
  readonly #isAwaited: boolean;
  /** Has the target been written to, or may it have been? */
  hasWritten = false;

  /** `isAwaited`: will the disk be waited for, so that it had better begin at once? */
  constructor(
    source: MappedFile,
    target: MappedFile,
    total: number,
    isAwaited: boolean,
    onProgress?: Progress,
  ) {
    this.#source = source;
    this.#target = target;
    this.#total = total;
    this.#isAwaited = isAwaited;
    this.#onProgress = onProgress;
    this.#memory = Mapping.anonymous(BUFFER, target.path);
    this.#bytes = new Uint8Array(this.#memory.view(0, BUFFER, true));
  }

  release(): void {
    this.#memory.release();
  }

  /** Writes what is gathered. */
  flush(): void {
    if (this.#filled === 0) return;
    this.#write(this.#bytes.subarray(0, this.#filled), this.#at);
    this.#wrote(this.#filled);
    this.#filled = 0;
  }

  /** Writes `length` bytes of `memory` to `to`. */
  writeMemory(memory: Mapping, from: number, to: number, length: number): void {
    if (length >= BUFFER) {
      this.flush();
      for (let moved = 0; moved < length;) {
        const count = Math.min(PIECE, length - moved);
        const at = from + moved;
        const position = to + moved;
        memory.borrow(
          at,
          at + count,
          (bytes) => this.#write(bytes, position),
        );
        this.#wrote(count);
        moved += count;
      }
    } else if (length > 0) {
      const at = this.#gather(to, length);
      this.#memory.copyFrom(memory, from, at, length);
    }
  }

  /** Copies `length` bytes of the source; into a target that reads zeros there so far. */
  copy(from: number, to: number, length: number): void {
    if (length < BUFFER / 4) {
      if (length === 0) return;
      const at = this.#gather(to, length);
      this.#source.read(this.#bytes.subarray(at, at + length), from);
      return;
    }
    this.flush();
    const end = from + length;
    for (let at = from; at < end;) {
      const [begin, dataEnd] = this.#source.nextData(at, end);
      this.#wrote(begin - at);
      at = begin;
      while (at < dataEnd) {
        at += this.#copyPiece(at, at - from + to, dataEnd - at);
      }
    }
  }

  #copyPiece(from: number, to: number, length: number): number {
    const count = this.#source.copyTo(
      this.#target,
      from,
      to,
      Math.min(length, PIECE),
    );
    if (count > 0) {
      this.#toDisk(to, to + count);
      this.#wrote(count);
      return count;
    }
    return this.#bounce(from, to, Math.min(length, BUFFER));
  }

  /** Moves bytes of one file towards its end; the ranges may overlap. */
  moveUp({ from, to, length }: Run): void {
    for (let left = length; left > 0;) {
      const count = Math.min(BUFFER, left);
      left -= this.#bounce(from + left - count, to + left - count, count);
    }
  }

  /** Moves bytes of one file towards its start; the ranges may overlap. */
  moveDown({ from, to, length }: Run): void {
    for (let moved = 0; moved < length;) {
      const count = Math.min(BUFFER, length - moved);
      moved += this.#bounce(from + moved, to + moved, count);
    }
  }

  #bounce(from: number, to: number, length: number): number {
    const bytes = this.#bytes.subarray(0, length);
    this.#source.read(bytes, from);
    this.#write(bytes, to);
    this.#wrote(length);
    return length;
  }

  /** Makes room for `length` bytes that belong at `to`; answers where. */
  #gather(to: number, length: number): number {
    if (to !== this.#at + this.#filled || this.#filled + length > BUFFER) {
      this.flush();
    }
    if (this.#filled === 0) this.#at = to;
    const at = this.#filled;
    this.#filled += length;
    return at;
  }

  #write(bytes: Uint8Array, position: number): void {
    this.hasWritten = true;
    this.#target.write(bytes, position);
    this.#toDisk(position, position + bytes.length);
  }

  /** Has the disk write one batch while the next is gathered. */
  #toDisk(begin: number, end: number): void {
    if (!this.#isAwaited) return;
    const [first, last] = this.#batch ?? [begin, end];
    this.#batch = [Math.min(first, begin), Math.max(last, end)];
    const [from, to] = this.#batch;
    if (to - from < BATCH) return;
    this.#target.beginWriting(from, to);
    this.#batch = null;
  }

  #wrote(count: number): void {
    this.#done += count;
    if (count > 0) this.#onProgress?.(this.#done, this.#total);
  }
}
