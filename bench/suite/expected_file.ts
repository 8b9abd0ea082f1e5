/**
 * What a file should hold after edits, without holding it in memory.
 *
 * @module
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { KiB, writeSynced } from "./files.ts";

/** Bytes that repeat after a prime number, so that no shift by pages goes unnoticed. */
const BLOCK = Uint8Array.from(
  { length: 1_048_573 },
  (_, i) => i ^ (i >> 8) ^ (i >> 16),
);
/** How many bytes are compared at a time. */
const WINDOW = 256 * KiB;

/** Bytes of the original from an offset on, or inserted bytes. */
interface Piece {
  original?: number;
  inserted?: Uint8Array;
  length: number;
}

/** A file of known bytes, and the edits made to it. */
export class ExpectedFile {
  /** The middle of the original file. */
  readonly middle: number;
  #pieces: Piece[];
  #length: number;

  private constructor(length: number) {
    this.middle = length / 2;
    this.#pieces = [{ original: 0, length }];
    this.#length = length;
  }

  /** Writes the file, and waits for the disk. */
  static create(path: string, length: number): ExpectedFile {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; at += BLOCK.length) {
      bytes.set(BLOCK.subarray(0, Math.min(BLOCK.length, length - at)), at);
    }
    writeSynced(path, bytes);
    return new ExpectedFile(length);
  }

  get length(): number {
    return this.#length;
  }

  insert(at: number, inserted: Uint8Array): void {
    const [before, after] = this.#cut(at);
    const { length } = inserted;
    this.#pieces = [...before, { inserted, length }, ...after];
    this.#length += length;
  }

  cutFront(count: number): void {
    [, this.#pieces] = this.#cut(count);
    this.#length -= count;
  }

  /** Throws unless the file has these bytes. */
  check(path: string): void {
    const fd = fs.openSync(path, "r");
    assert.equal(fs.fstatSync(fd).size, this.#length, `length of '${path}'`);
    const window = Buffer.alloc(WINDOW);
    for (let at = 0; at < this.#length;) {
      const count = fs.readSync(fd, window, 0, WINDOW, at);
      const isRight = window.subarray(0, count).equals(this.#read(at, count));
      assert(isRight && count > 0, `'${path}' is wrong near byte ${at}.`);
      at += count;
    }
    fs.closeSync(fd);
  }

  /** The pieces before an offset, and those after it. */
  #cut(at: number): [before: Piece[], after: Piece[]] {
    const before: Piece[] = [];
    const after: Piece[] = [];
    let begin = 0;
    for (const piece of this.#pieces) {
      const cut = Math.min(Math.max(0, at - begin), piece.length);
      if (cut > 0) before.push(part(piece, 0, cut));
      if (cut < piece.length) after.push(part(piece, cut, piece.length));
      begin += piece.length;
    }
    return [before, after];
  }

  #read(from: number, count: number): Uint8Array {
    const bytes = new Uint8Array(count);
    let begin = 0;
    for (const piece of this.#pieces) {
      const low = Math.max(from, begin);
      const high = Math.min(from + count, begin + piece.length);
      const { original = 0, inserted } = piece;
      for (let at = low; at < high;) {
        const source = inserted ?? BLOCK;
        const place = (original + at - begin) % source.length;
        const part = source.subarray(place, place + high - at);
        bytes.set(part, at - from);
        at += part.length;
      }
      begin += piece.length;
    }
    return bytes;
  }
}

function part({ original, inserted }: Piece, from: number, to: number): Piece {
  const length = to - from;
  return inserted === undefined
    ? { original: original! + from, length }
    : { inserted: inserted.subarray(from, to), length };
}
