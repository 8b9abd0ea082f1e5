/**
 * Memory for floating slices: an arena of anonymous mappings.
 *
 * Floating bytes live from an edit to the next flush, which lets them go all at
 * once, so allocating is moving a mark. Small pieces share a chunk, since a page
 * and a kernel mapping for each of a million would be too much; a large piece has
 * a chunk of its own, which goes as soon as the piece does. Nothing is in the
 * JavaScript heap: what a user transfers away from a view stays here too.
 *
 * @module
 */

import { SystemError } from "../base/mod.ts";
import { Mapping } from "./mapping.ts";

const CHUNK = 2 ** 26;
const LARGE = 2 ** 20;
/** What any processor's widest load is content with, and a cache line. */
const ALIGNMENT = 64;

/** One anonymous mapping, filled from the start. */
class Chunk {
  readonly mapping: Mapping;
  /** Bytes given out. */
  used = 0;
  /** Bytes that have been given out at any time and may hold something. */
  soiled = 0;
  /** Pieces not yet freed. */
  live = 0;

  constructor(size: number, path: string) {
    this.mapping = Mapping.anonymous(size, path);
  }
}

/** Zero-initialised bytes, `length` of them from `offset` in `mapping`. */
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
   * A piece of `length` bytes with the same content, cut or padded with zeros:
   * this one where it has room, else a new one with room to grow, and this one
   * is freed. Nobody may hold a view.
   */
  resized(length: number): Piece {
    const kept = Math.min(length, this.length);
    const cut = this.length - kept;
    // A large cut gives its memory back instead of filling it with zeros.
    if (length <= this.capacity && cut < LARGE) {
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

/** Hands out {@linkcode Piece}s. */
export class Arena {
  readonly #path: string;
  /** Where small pieces go next. */
  #current: Chunk | undefined;
  readonly #chunks = new Set<Chunk>();

  constructor(path: string) {
    this.#path = path;
  }

  /** `length` zero bytes, with room to grow to `capacity`. */
  allocate(length: number, capacity: number = length): Piece {
    const size = Math.max(1, Math.ceil(capacity / ALIGNMENT)) * ALIGNMENT;
    const chunk = this.#chunkFor(size);
    const offset = chunk.used;
    chunk.used += size;
    chunk.live++;
    if (chunk.soiled > offset) {
      const soiled = Math.min(chunk.soiled, chunk.used) - offset;
      chunk.mapping.fill(0, offset, soiled);
    }
    chunk.soiled = Math.max(chunk.soiled, chunk.used);
    return new Piece(this, chunk, offset, length, size);
  }

  /** As `allocate`, but where memory is too short for `capacity`, does without. */
  allocateUpTo(capacity: number, length: number): Piece {
    try {
      return this.allocate(length, capacity);
    } catch (error) {
      if (!(error instanceof SystemError) || capacity === length) throw error;
      return this.allocate(length);
    }
  }

  /** Takes a piece of `chunk` back. */
  free(chunk: Chunk): void {
    if (--chunk.live > 0) return;
    // Bytes that someone still reaches must not be given to another slice.
    if (chunk === this.#current && !chunk.mapping.hasEscapedAfter(0)) {
      const { inFlightEnd } = chunk.mapping;
      chunk.used = Math.ceil(inFlightEnd / ALIGNMENT) * ALIGNMENT;
      return;
    }
    if (chunk === this.#current) this.#current = undefined;
    this.#chunks.delete(chunk);
    chunk.mapping.release();
  }

  /** Lets everything go. */
  release(): void {
    for (const { mapping } of this.#chunks) mapping.release();
    this.#chunks.clear();
    this.#current = undefined;
  }

  #chunkFor(size: number): Chunk {
    if (size >= LARGE) return this.#newChunk(size);
    if (this.#current === undefined || this.#current.used + size > CHUNK) {
      this.#current = this.#newChunk(CHUNK);
    }
    return this.#current;
  }

  #newChunk(size: number): Chunk {
    const chunk = new Chunk(size, this.#path);
    this.#chunks.add(chunk);
    return chunk;
  }
}
