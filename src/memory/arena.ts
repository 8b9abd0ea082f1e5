/**
 * The arena: memory for floating slices, in anonymous mappings.
 *
 * Floating bytes live from an edit to the next flush, which forgets all of them at
 * once. So allocation only moves a mark. Small pieces share a chunk, since a page and
 * a kernel mapping for each of a million would be too much. A large piece has a chunk
 * of its own, which goes when the piece is freed. None of the bytes are in the
 * JavaScript heap, so what a user transfers away from a view stays here too.
 *
 * Must not know slices: it deals in bytes.
 *
 * @module
 */

import { SystemError } from "../base/mod.ts";
import { Mapping } from "./mapping.ts";

/** Bytes of a chunk that small pieces share. */
const SHARED_CHUNK = 2 ** 26;
/** Bytes from which a piece has a chunk of its own. */
const LARGE_PIECE = 2 ** 20;
/** Bytes from which a freed piece gives its pages back while others live in its chunk. */
const PAGES = 2 ** 16;
/** Bytes from which it is worth a call, and a kernel mapping, to have huge pages. */
const HUGE_WRITE = 2 ** 25;
/** The most bytes that stay in memory for the pieces after a flush. */
const KEPT = 2 ** 16;
/** Bytes: enough for the widest load of any processor, and a cache line. */
const ALIGNMENT = 64;

/** One anonymous mapping, filled from its start. */
class Chunk {
  readonly mapping: Mapping;
  /** Bytes allocated. */
  used = 0;
  /** Bytes from here on were never allocated, so they are still zero. */
  highWater = 0;
  /** Pieces not yet freed. */
  live = 0;

  constructor(size: number, path: string) {
    this.mapping = Mapping.anonymous(size, path);
  }
}

/** `length` bytes of a mapping from `offset` on, with room for `capacity`. Zero at first. */
export class Piece {
  readonly #arena: Arena;
  readonly chunk: Chunk;
  readonly offset: number;
  readonly capacity: number;
  length: number;
  #isFree = false;

  constructor(
    arena: Arena,
    chunk: Chunk,
    offset: number,
    length: number,
    capacity: number,
  ) {
    this.#arena = arena;
    this.chunk = chunk;
    this.offset = offset;
    this.length = length;
    this.capacity = capacity;
  }

  get mapping(): Mapping {
    return this.chunk.mapping;
  }

  /**
   * Returns a piece of `length` bytes with the same content, cut or padded with zeros.
   * That is this piece if it has room. Otherwise it is a new one with room to grow, and
   * the caller frees this one once nothing leads to it. Nobody may hold a view.
   */
  resized(length: number): Piece {
    const kept = Math.min(length, this.length);
    const cut = this.length - kept;
    // What is left of a large piece moves only when most was cut off, so that many cuts
    // copy no more than they cut.
    const isWaste = this.capacity >= LARGE_PIECE && length <= this.capacity / 4;
    if (length <= this.capacity && (cut === 0 || !isWaste)) {
      const { mapping, offset } = this;
      if (cut < LARGE_PIECE) mapping.fill(0, offset + kept, cut);
      else mapping.renew(offset + kept, cut);
      this.length = length;
      return this;
    }
    const room = length > this.length
      ? Math.max(length, this.length * 2)
      : length;
    const moved = this.#arena.allocateUpTo(room, length);
    moved.expectWrite(kept);
    moved.mapping.copyFrom(this.mapping, this.offset, moved.offset, kept);
    return moved;
  }

  /** Its first `length` bytes are all written next, for the first time. */
  expectWrite(length: number): void {
    if (length < HUGE_WRITE) return;
    this.mapping.adviseHuge(this.offset, this.offset + length);
  }

  /** Once; a second time does nothing. */
  free(): void {
    if (this.#isFree) return;
    this.#isFree = true;
    this.#arena.free(this);
  }
}

/** Allocates {@linkcode Piece}s. */
export class Arena {
  readonly #path: string;
  /** Where small pieces go next. */
  #current: Chunk | undefined;
  readonly #chunks = new Set<Chunk>();

  /** `path` is for error messages. */
  constructor(path: string) {
    this.#path = path;
  }

  /** A piece of `length` zero bytes, with room to grow to `capacity`. */
  allocate(length: number, capacity: number = length): Piece {
    const size = Math.max(1, Math.ceil(capacity / ALIGNMENT)) * ALIGNMENT;
    const chunk = this.#chunkFor(size);
    const offset = chunk.used;
    const end = offset + size;
    const reused = Math.min(chunk.highWater, end) - offset;
    if (reused > 0) chunk.mapping.fill(0, offset, reused);
    const piece = new Piece(this, chunk, offset, length, size);
    // Nothing throws from here on.
    chunk.used = end;
    chunk.highWater = Math.max(chunk.highWater, end);
    chunk.live++;
    return piece;
  }

  /** As `allocate`, but without the room to grow if there is not enough memory for it. */
  allocateUpTo(capacity: number, length: number): Piece {
    try {
      return this.allocate(length, capacity);
    } catch (error) {
      if (!(error instanceof SystemError) || capacity === length) throw error;
      return this.allocate(length);
    }
  }

  /** Takes back one piece. Its chunk is reused or goes with the last one. */
  free({ chunk, offset, capacity }: Piece): void {
    if (--chunk.live > 0) {
      if (capacity >= PAGES) chunk.mapping.renew(offset, capacity);
      return;
    }
    if (chunk === this.#current) {
      // Bytes that somebody may still reach or use must not go to another slice.
      if (!chunk.mapping.hasEscapedAfter(0)) {
        const { inFlightEnd } = chunk.mapping;
        chunk.used = Math.ceil(inFlightEnd / ALIGNMENT) * ALIGNMENT;
        return;
      }
      this.#current = undefined;
    }
    this.#release(chunk);
  }

  /**
   * Forgets all pieces, and detaches their views. Releases the memory, but for the chunk
   * that small pieces share, if few of its bytes were used: to give that back and map it
   * again takes longer than to append a line.
   */
  empty(): void {
    const chunk = this.#current;
    if (chunk === undefined || chunk.highWater > KEPT) return this.release();
    const { mapping } = chunk;
    mapping.revokeAll();
    if (mapping.hasEscapedAfter(0)) return this.release();
    for (const other of this.#chunks) if (other !== chunk) this.#release(other);
    chunk.live = 0;
    chunk.used = Math.ceil(mapping.inFlightEnd / ALIGNMENT) * ALIGNMENT;
  }

  /** Has nobody else got memory of it that a flush would have to forget? Then `piece` may stay. */
  isAll({ chunk, offset, capacity }: Piece): boolean {
    return chunk === this.#current && this.#chunks.size === 1 &&
      chunk.live === 1 && chunk.used === offset + capacity &&
      chunk.highWater <= KEPT;
  }

  /** Releases all memory. The arena can be used again. */
  release(): void {
    this.#current = undefined;
    for (const chunk of this.#chunks) this.#release(chunk);
  }

  #release(chunk: Chunk): void {
    chunk.mapping.release();
    this.#chunks.delete(chunk); // last: what throws can be tried again
  }

  #chunkFor(size: number): Chunk {
    if (size >= LARGE_PIECE) return this.#newChunk(size);
    const last = this.#current;
    if (last !== undefined && last.used + size <= SHARED_CHUNK) return last;
    const next = this.#newChunk(SHARED_CHUNK);
    this.#current = next;
    // Its pieces are all freed, but could not be reused: they may be in flight.
    if (last?.live === 0) this.#release(last);
    return next;
  }

  #newChunk(size: number): Chunk {
    const chunk = new Chunk(size, this.#path);
    this.#chunks.add(chunk);
    return chunk;
  }
}
