/**
 * What was appended to a map and is not in its file yet: one growing tail of bytes, and
 * no slice.
 *
 * The bytes lie in a few large pieces of the arena, each twice as large as the one
 * before, up to a limit. So no byte is ever copied a second time, and what is reserved
 * and not used is memory that no page backs yet. They are written through one
 * ArrayBuffer over the last piece's room: an append calls no C function. Where the bytes
 * go in the file, the plan of a flush says.
 *
 * @module
 */

import { setBytes } from "../base/mod.ts";
import type { Arena, Mapping, Piece } from "../memory/mod.ts";
import { type Content, contentLength } from "./content.ts";

/** Bytes of the first piece, and of the largest. */
const FIRST = 2 ** 16;
const LARGEST = 2 ** 26;
/** Zeros up to so many are written. More are a piece of their own, which has them. */
const FEW_ZEROS = 2 ** 16;

/** Bytes to append, in memory. */
export class Tail {
  readonly #arena: Arena;
  /** In order. Only the last has room. */
  #pieces: Piece[] = [];
  /** Over the room of the last piece, from where it was asked for; and the bytes used of it. */
  #room: Uint8Array | null = null;
  #used = 0;
  /** Bytes appended. */
  length = 0;

  constructor(arena: Arena) {
    this.#arena = arena;
  }

  /** What was appended, in order. */
  get pieces(): readonly Piece[] {
    return this.#pieces.filter(({ length }) => length > 0);
  }

  /** Appends `content`, which may be a view of the file: `mapping` says if it has lost pages. */
  append(content: Content, mapping: Mapping): void {
    const length = contentLength(content);
    if (length === 0) return mapping.checkFaults();
    const last = typeof content === "number"
      ? this.#zeros(content)
      : this.#copy(content);
    mapping.checkFaults();
    // Nothing has counted so far, and nothing throws from here on.
    last.length += length;
    this.#used += length;
    this.length += length;
  }

  /**
   * All that was appended, if it lies in one piece, and nothing else is in the arena.
   * Valid until something is appended.
   */
  get alone(): Uint8Array | undefined {
    const [piece] = this.#pieces;
    const isAlone = piece !== undefined && this.#pieces.length === 1 &&
      this.#room !== null && this.#used === piece.length &&
      this.#arena.isAll(piece);
    return isAlone ? this.#room!.subarray(0, this.#used) : undefined;
  }

  /** Forgets what was appended, but for the memory of what {@linkcode alone} returned. */
  rewind(): void {
    this.#pieces[0]!.length = 0;
    this.#used = 0;
    this.length = 0;
  }

  /** Forgets everything; the arena's memory is gone. */
  clear(): void {
    this.#pieces = [];
    this.#room = null;
    this.length = 0;
  }

  /** The piece behind whose bytes `content` is now. */
  #copy(content: Uint8Array): Piece {
    const last = this.#pieceFor(content.length);
    if (this.#room === null) {
      const { mapping, offset, length, capacity } = last;
      const room = mapping.view(offset + length, offset + capacity, true);
      this.#used = 0;
      this.#room = new Uint8Array(room);
    }
    setBytes(this.#room, content, this.#used);
    return last;
  }

  /** The piece behind whose bytes are so many zeros. */
  #zeros(count: number): Piece {
    if (count > FEW_ZEROS) return this.#open(count);
    const last = this.#pieceFor(count);
    // Not zeros, if an append has failed after it was copied.
    last.mapping.fill(0, last.offset + last.length, count);
    return last;
  }

  #pieceFor(count: number): Piece {
    const last = this.#pieces[this.#pieces.length - 1];
    const hasRoom = last !== undefined && count <= last.capacity - last.length;
    return hasRoom ? last : this.#open(count);
  }

  /** A new piece, with room for `count` bytes at least. All of them are zeros. */
  #open(count: number): Piece {
    const doubled = FIRST * 2 ** Math.min(this.#pieces.length, 10);
    const capacity = Math.max(count, Math.min(doubled, LARGEST));
    const piece = this.#arena.allocateUpTo(capacity, count);
    piece.length = 0; // until the bytes count
    const last = this.#pieces[this.#pieces.length - 1];
    if (this.#room !== null) {
      last?.mapping.revoke(this.#room.buffer as ArrayBuffer);
      this.#room = null;
    }
    this.#pieces.push(piece);
    return piece;
  }
}
