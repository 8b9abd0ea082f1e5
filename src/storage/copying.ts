/**
 * Moves bytes into a file: from another file, from memory, or within the file.
 *
 * Small pieces are gathered, so that a million of them are not a million writes.
 * Memory stays at one buffer, whatever the file's size. Knows nothing of layouts: a
 * strategy of flush says what goes where, in file order.
 *
 * @module
 */

import { FaultError, type SystemError } from "../base/mod.ts";
import type { Run } from "../geometry/mod.ts";
import { Mapping } from "../memory/mod.ts";
import { BLOCK, isSparse, knowsMaps, punch, reserveHoles } from "./blocks.ts";
import { isRefusal } from "./entries.ts";
import type { OpenFile } from "./open_file.ts";
import { later } from "./later.ts";
import { fsyncStep, skipStep, type Steps } from "./steps.ts";

/** Bytes that are gathered before they are written, and read at a time. */
const BUFFER = 2 ** 20;
/** The most bytes that one step moves, so that progress is shown between. */
const STEP = 2 ** 26;
/** The fewest bytes that are shared: small pieces are copied in less time. */
const LEAST_SHARED = 2 ** 18;
/** Bytes that are written at a time from where they are mapped. */
const PIECE = 2 ** 23;
/** The most bytes that this thread copies at a time, if another one cannot. */
const QUICKEST = 2 ** 22;
/** Bytes written before the disk is told to begin with them. */
const BATCH = 2 ** 23;

/** Moves bytes into one file. */
export class Copier {
  readonly #source: OpenFile;
  readonly #target: OpenFile;
  /** Will someone wait for the disk, and can it start early? */
  #isAwaited: boolean;
  readonly #memory: Mapping;
  readonly #buffer: Uint8Array;
  /** A buffer of zeros to compare with, once one was needed. */
  #zeros: Mapping | undefined;
  /** Bytes that this thread copies at a time; 0 once that took too long. */
  #quick = 2 ** 18;
  /** The source, once that was mapped. */
  #mapped: Mapping | undefined;
  /** Where in the target the gathered bytes belong, and how many there are. */
  #at = 0;
  #filled = 0;
  /** What was written and the disk was not told of yet: begin and end. */
  #batch: [begin: number, end: number] | null = null;
  #hasWritten = false;
  #keepsHoles = false;
  /** Bytes of a block that the target shares with the source; 0 if it shares none. */
  #sharedBlock = 0;
  /** Where what is shared has no blocks, shall the target reserve some? */
  #isReserved = false;
  /** Where the source had data, in order, if that was noted. */
  #data: (readonly [begin: number, end: number])[] | undefined;

  constructor(source: OpenFile, target: OpenFile, isAwaited: boolean) {
    this.#source = source;
    this.#target = target;
    this.#isAwaited = isAwaited;
    this.#memory = Mapping.anonymous(BUFFER, target.path);
    this.#buffer = new Uint8Array(this.#memory.view(0, BUFFER, true));
  }

  /** Frees the buffer. Once only. */
  release(): void {
    this.#memory.release();
    this.#zeros?.release();
    this.#mapped?.release();
  }

  /** Has the target been written to, or may it have been? */
  get hasWritten(): boolean {
    return this.#hasWritten;
  }

  /** Were holes of the source found, which the target is to have as well? */
  get keepsHoles(): boolean {
    return this.#keepsHoles;
  }

  /**
   * Finds out whether the source has holes. Until then, all of it is copied. Where
   * the file system does not know what maps have written into them, the source is
   * synced first.
   */
  *findHoles(): Steps {
    const source = this.#source;
    if (!isSparse(source)) return;
    const [begin, end] = source.nextData(0, source.size);
    if (begin === 0 && end === source.size) return;
    if (!knowsMaps(source)) {
      try {
        yield fsyncStep(() => source.sync(), () => source.syncLater());
      } catch (error) {
        if (isRefusal(error)) return; // nobody can tell
        throw error;
      }
    }
    this.#keepsHoles = true;
  }

  /**
   * Finds out whether the target, which has its length, can share blocks of `block`
   * bytes with the source, by sharing the first of `runs` that may be. Until then, all
   * is copied. `isReserved`: is everything to have blocks, written to or not?
   */
  *findSharing(
    runs: readonly Run[],
    block: number,
    isReserved: boolean,
  ): Steps {
    this.#sharedBlock = block;
    this.#isReserved = isReserved;
    for (const { from, to, length } of runs) {
      for (let at = from; at < from + length;) {
        const [begin, end] = this.nextData(at, from + length);
        const [first, last] = this.#shareable(begin, end, to - from);
        at = end;
        if (first >= last) continue;
        yield {
          run: () => {
            // Whole blocks are shared. Whoever copies takes the byte behind one, too.
            const target = first + to - from;
            const count = this.#source.copyTo(
              this.#target,
              first,
              target,
              block + 1,
            );
            if (count !== block) this.#sharedBlock = 0;
            return 0;
          },
        };
        return;
      }
    }
  }

  /**
   * Which bytes are to be shared of the source's `from` to `end`, if those go `shift`
   * bytes further on: whole blocks that are whole blocks there, too.
   */
  #shareable(
    from: number,
    end: number,
    shift: number,
  ): readonly [begin: number, end: number] {
    const block = this.#sharedBlock;
    if (block === 0 || shift % block !== 0 || end - from < LEAST_SHARED) {
      return [end, end];
    }
    const first = Math.ceil(from / block) * block;
    const last = Math.floor(end / block) * block;
    // More than one: see findSharing().
    return last - first > block ? [first, last] : [end, end];
  }

  /**
   * What has to be written of the source's bytes `from` to `end`, if those go `shift`
   * bytes further on: neither holes nor what is shared.
   */
  *written(
    from: number,
    end: number,
    shift: number,
  ): Generator<readonly [begin: number, end: number]> {
    for (let at = from; at < end;) {
      const [begin, dataEnd] = this.nextData(at, end);
      const [first, last] = this.#shareable(begin, dataEnd, shift);
      if (first > begin) yield [begin, first];
      if (dataEnd > last) yield [last, dataEnd];
      at = dataEnd;
    }
  }

  /**
   * Notes where the source has data from `from` on, before it is changed: a hole that
   * blocks are reserved for may look like data.
   */
  noteData(from: number): void {
    const { size } = this.#source;
    const noted = [];
    for (let at = from; at < size;) {
      const [begin, end] = this.nextData(at, size);
      if (end > begin) noted.push([begin, end] as const);
      at = end;
    }
    this.#data = noted;
  }

  /** As {@linkcode OpenFile.nextData} of the source; all is data if no holes were found. */
  nextData(from: number, end: number): readonly [begin: number, end: number] {
    if (!this.#keepsHoles) return [from, end];
    const noted = this.#data;
    if (noted === undefined) return this.#source.nextData(from, end);
    let [low, high] = [0, noted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (noted[middle]![1] > from) high = middle;
      else low = middle + 1;
    }
    const [begin, dataEnd] = noted[low] ?? [end, end];
    if (begin >= end) return [end, end];
    return [Math.max(begin, from), Math.min(dataEnd, end)];
  }

  /** Writes what is gathered. */
  *flush(): Steps {
    if (this.#filled === 0) return;
    yield {
      run: () => {
        this.#write(this.#buffer.subarray(0, this.#filled), this.#at);
        return this.#filled;
      },
      runLater: async () => {
        await this.#writeLater(
          this.#buffer.subarray(0, this.#filled),
          this.#at,
        );
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
        runLater: async () => {
          await memory.borrowLater(
            begin,
            begin + count,
            (bytes) => this.#writeLater(bytes, position),
          );
          return count;
        },
      };
    }
  }

  /**
   * As {@linkcode writeMemory}, of what a private map of the source has at `from`.
   * Zeros in its holes are left out.
   */
  *writePrivate(
    memory: Mapping,
    from: number,
    to: number,
    length: number,
  ): Steps {
    const shift = to - from;
    const end = from + length;
    for (let at = from; at < end;) {
      const [begin, dataEnd] = this.nextData(at, end);
      if (begin > at) yield* this.#writeUnlessZero(memory, at, begin, shift);
      at = dataEnd;
      if (at > begin) {
        yield* this.writeMemory(memory, begin, begin + shift, at - begin);
      }
    }
  }

  *#writeUnlessZero(
    memory: Mapping,
    from: number,
    end: number,
    shift: number,
  ): Steps {
    this.#zeros ??= Mapping.anonymous(BUFFER, this.#target.path);
    const zeros = this.#zeros;
    for (let at = from; at < end;) {
      const to = Math.min(at + BUFFER, end);
      if (memory.equals(zeros, at, 0, to - at)) {
        yield skipStep(to - at);
        at = to;
      }
      while (at < to) {
        const count = Math.min(BLOCK - at % BLOCK, to - at);
        if (memory.equals(zeros, at, 0, count)) yield skipStep(count);
        else yield* this.writeMemory(memory, at, at + shift, count);
        at += count;
      }
    }
  }

  /** As {@linkcode gatherMemory}, of bytes of the source. False also where it has a hole. */
  gatherSource(from: number, to: number, length: number): boolean {
    if (length === 0) return true;
    if (length >= BUFFER / 4 || !this.#hasRoom(to, length)) return false;
    if (this.#keepsHoles) {
      const [begin, end] = this.#source.nextData(from, from + length);
      if (begin !== from || end !== from + length) return false;
    }
    const at = this.#gathered(to, length);
    this.#source.read(this.#buffer.subarray(at, at + length), from);
    return true;
  }

  /** Copies `length` bytes of the source into a target that is still all zeros there. */
  *copy(from: number, to: number, length: number): Steps {
    const shift = to - from;
    const end = from + length;
    for (let at = from; at < end;) {
      const [begin, dataEnd] = this.nextData(at, end);
      if (begin > at) yield skipStep(begin - at);
      at = dataEnd;
      if (at === begin) continue;
      const [first, last] = this.#shareable(begin, at, shift);
      yield* this.#copyData(begin, begin + shift, first - begin);
      yield* this.#share(first, first + shift, last - first);
      yield* this.#copyData(last, last + shift, at - last);
    }
  }

  /** As {@linkcode copy}, of blocks that the two files may share. */
  *#share(from: number, to: number, length: number): Steps {
    if (length === 0) return;
    yield* this.flush(); // the buffer is needed where sharing fails
    for (let moved = 0; moved < length;) {
      const at = moved;
      moved += yield {
        run: () => {
          const [source, target] = [from + at, to + at];
          const left = length - at;
          const count = this.#source.copyTo(
            this.#target,
            source,
            target,
            Math.min(left, STEP),
          ) || this.#bounce(source, target, Math.min(left, BUFFER));
          // Blocks that were reserved and not written to are not shared.
          if (this.#isReserved) {
            reserveHoles(this.#target, target, target + count);
          }
          return count;
        },
      };
    }
  }

  *#copyData(from: number, to: number, length: number): Steps {
    if (this.gatherSource(from, to, length)) return;
    yield* this.flush();
    if (this.gatherSource(from, to, length)) return;
    for (let moved = 0; moved < length;) {
      const at = moved;
      moved += yield {
        run: () => this.#copyPiece(from + at, to + at, length - at),
        runLater: () => this.#copyPieceLater(from + at, to + at, length - at),
      };
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
   * As {@linkcode #copyPiece}, while the event loop goes on. Where no other thread can
   * copy, this one does, in small pieces. That is twice as fast as having another one
   * write what is mapped, as long as the system takes what is written at once. Once it
   * makes writers wait for the disk, the other thread waits.
   */
  async #copyPieceLater(
    from: number,
    to: number,
    length: number,
  ): Promise<number> {
    const [source, target] = [this.#source, this.#target];
    let count = 0;
    if (later().copyFileRange !== null) {
      const most = Math.min(length, STEP);
      count = await source.copyToLater(target, from, to, most);
    } else if (this.#quick > 0) {
      const since = performance.now();
      count = source.copyTo(target, from, to, Math.min(length, this.#quick));
      const isQuick = count > 0 && !later().isDue(since);
      this.#quick = isQuick ? Math.min(this.#quick * 2, QUICKEST) : 0;
      await later().turn();
    }
    if (count === 0) {
      count = Math.min(length, PIECE);
      const isWritten = await this.#writeMapped(from, to, count);
      if (!isWritten) return this.#bounce(from, to, Math.min(length, BUFFER));
    }
    await this.#startDiskLater(to, to + count);
    return count;
  }

  /** Writes bytes of the source, which is mapped for that. False where it cannot be. */
  async #writeMapped(
    from: number,
    to: number,
    length: number,
  ): Promise<boolean> {
    const { fd, size, path } = this.#source;
    try {
      this.#mapped ??= Mapping.ofFile(
        { fd, shared: false, charged: false, guarded: true, hugePage: 0 },
        size,
        0,
        path,
      );
      await this.#mapped.borrowLater(
        from,
        from + length,
        (bytes) => this.#target.writeLater(bytes, to),
      );
      return true;
    } catch (error) {
      // Lost pages: whoever reads them finds out why. No room to map: it is read, too.
      if (error instanceof FaultError) return false;
      if ((error as SystemError).syscall === "mmap") return false;
      throw error;
    }
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
        moved += this.#move(from + left, to + left, count);
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
        moved += this.#move(from + done, to + done, count);
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

  /** As {@linkcode #bounce}; what was a hole is one again. */
  #move(from: number, to: number, length: number): number {
    const end = from + length;
    const data = [];
    for (let at = from; at < end;) {
      const [begin, dataEnd] = this.nextData(at, end);
      if (dataEnd > begin) data.push([begin, dataEnd] as const);
      at = dataEnd;
    }
    const [first] = data;
    if (first?.[0] === from && first[1] === end) {
      return this.#bounce(from, to, length);
    }
    // All is read before anything is written: the two ranges may overlap.
    const bytes = this.#buffer.subarray(0, length);
    if (first !== undefined) this.#source.read(bytes, from);
    let at = from;
    for (const [begin, dataEnd] of [...data, [end, end] as const]) {
      if (begin > at) this.#clear(at + to - from, begin + to - from);
      at = dataEnd;
      const piece = bytes.subarray(begin - from, at - from);
      if (at > begin) this.#write(piece, begin + to - from);
    }
    return length;
  }

  /** Makes zeros of the bytes `from` to `to` of the target, and holes where it can. */
  #clear(from: number, to: number): void {
    for (let at = from; at < to;) {
      const [begin, end] = this.#target.nextData(at, to);
      at = end;
      if (begin === end) continue;
      this.#hasWritten = true;
      if (punch(this.#target, begin, end)) continue;
      this.#write(new Uint8Array(end - begin), begin);
    }
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

  async #writeLater(bytes: Uint8Array, position: number): Promise<void> {
    this.#hasWritten = true;
    await this.#target.writeLater(bytes, position);
    await this.#startDiskLater(position, position + bytes.length);
  }

  /** Has the disk write one batch while the next is gathered. */
  #startDisk(begin: number, end: number): void {
    const batch = this.#batchWith(begin, end);
    if (batch !== null) this.#target.beginWriting(...batch);
  }

  async #startDiskLater(begin: number, end: number): Promise<void> {
    const batch = this.#batchWith(begin, end);
    if (batch === null) return;
    this.#isAwaited = await this.#target.beginWritingLater(...batch);
  }

  /** What was written, once it is enough for the disk to begin with. */
  #batchWith(begin: number, end: number): [begin: number, end: number] | null {
    if (!this.#isAwaited) return null;
    const [first, last] = this.#batch ?? [begin, end];
    const [from, to] = [Math.min(first, begin), Math.max(last, end)];
    const isEnough = to - from >= BATCH;
    this.#batch = isEnough ? null : [from, to];
    return isEnough ? [from, to] : null;
  }
}
