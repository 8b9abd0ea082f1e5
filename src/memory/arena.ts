/**
 * The arena: memory for floating slices, in anonymous mappings.
 *
 * Floating bytes live from an edit to the next flush, which releases all of them at
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
   * That is this piece if it has room. Otherwise it is a new one with room to grow,
   * and this one is freed. Nobody may hold a view.
   */
  resized(length: number): Piece {
    const kept = Math.min(length, this.length);
    const cut = this.length - kept;
    // A large cut moves to a new piece, which gives the memory back, instead of
    // filling it with zeros.
    if (length <= this.capacity && cut < LARGE_PIECE) {
      this.mapping.fill(0, this.offset + kept, cut);
      this.length = length;
      return this;
    }
    const room = length > this.length
      ? Math.max(length, this.length * 2)
      : length;
    const moved = this.#arena.allocateUpTo(room, length);
    moved.mapping.copyFrom(this.mapping, this.offset, moved.offset, kept);
    this.free();
    return moved;
  }

  free(): void {
    this.#arena.free(this.chunk);
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
    chunk.used += size;
    chunk.live++;
    const reused = Math.min(chunk.highWater, chunk.used) - offset;
    if (reused > 0) chunk.mapping.fill(0, offset, reused);
    chunk.highWater = Math.max(chunk.highWater, chunk.used);
    return new Piece(this, chunk, offset, length, size);
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

  /** Takes back one piece of `chunk`. The chunk is reused or goes with its last piece. */
  free(chunk: Chunk): void {
    if (--chunk.live > 0) return;
    if (chunk === this.#current) {
      // Bytes that somebody may still reach or use must not go to another slice.
      if (!chunk.mapping.hasEscapedAfter(0)) {
        const { inFlightEnd } = chunk.mapping;
        chunk.used = Math.ceil(inFlightEnd / ALIGNMENT) * ALIGNMENT;
        return;
      }
      this.#current = undefined;
    }
    this.#chunks.delete(chunk);
    chunk.mapping.release();
  }

  /** Releases all memory. The arena can be used again. */
  release(): void {
    for (const { mapping } of this.#chunks) mapping.release();
    this.#chunks.clear();
    this.#current = undefined;
  }

  #chunkFor(size: number): Chunk {
    if (size >= LARGE_PIECE) return this.#newChunk(size);
    if (
      this.#current === undefined || this.#current.used + size > SHARED_CHUNK
    ) {
      this.#current = this.#newChunk(SHARED_CHUNK);
    }
    return this.#current;
  }

  #newChunk(size: number): Chunk {
    const chunk = new Chunk(size, this.#path);
    this.#chunks.add(chunk);
    return chunk;
  }
}
