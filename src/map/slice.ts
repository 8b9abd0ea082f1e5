/**
 * `MemmapSlice`: the public face of one slice.
 *
 * Checks the arguments, then asks the {@linkcode OpenMap}. Its extent says where the
 * bytes are.
 *
 * @module
 */

import { runtime } from "../../ffi/mod.ts";
import {
  ARRAY_OPTIONS,
  type ArrayOptions,
  type DTypeOf,
  type Fields,
  makeArray,
  makeRecords,
  makeStrings,
  type MemmapArray,
  type MemmapRecords,
  type MemmapStrings,
  RECORD_OPTIONS,
  type RecordOptions,
  STRING_OPTIONS,
  type StringName,
  type StringOptions,
  type TypeName,
} from "../arrays/mod.ts";
import {
  bytesIn,
  checkCount,
  checkLength,
  checkRange,
  checkSpan,
  checkTarget,
  clampRange,
  isAnyView,
  lengthOfTyped,
  noRoom,
  type Numbers,
  numbersIn,
  printAsString,
  readOptions,
  shown,
} from "../base/mod.ts";
import { findFirst, findLast, patternBytes } from "../memory/mod.ts";
import { type Content, contentLength } from "./content.ts";
import type { SliceExtent, SliceState } from "./extent.ts";
import type { Memmap } from "./memmap.ts";
import type { OpenMap } from "./open_map.ts";

/** Creates a slice's public object; {@linkcode MemmapSlice}'s constructor is private. */
export let makeSlice: (
  map: Memmap,
  open: OpenMap,
  extent: SliceExtent,
) => MemmapSlice;

/** What the map sees of a slice that it was given. */
export interface Inside {
  readonly open: OpenMap;
  readonly extent: SliceExtent;
  /** Throws unless the slice can be used now. */
  checkUsable(): void;
}

/** The inside of a slice; `undefined` for anything else. Asks none of its properties. */
export let insideOf: (value: object) => Inside | undefined;

/** What its constructor wants to see, so that only this module makes slices. */
const KEY = Symbol("MemmapSlice");

/**
 * A region of a mapped file that no other slice overlaps: memory that can be
 * read, written and resized.
 *
 * Made by {@linkcode Memmap.slice} and {@linkcode Memmap.insert}. While it is
 * `"mapped"`, its bytes are the file's. Once resized or inserted it is `"floating"`:
 * its bytes are in memory until the next {@linkcode Memmap.flush}.
 *
 * A view never dangles. A `buffer` or `bytes` taken before the slice was resized,
 * deleted, closed, or moved by a flush is detached and has length 0. Read
 * `slice.bytes` again.
 *
 * All offsets and lengths are bytes, and ranges are half-open. On a deleted slice
 * everything but `map`, `state` and `toString()` throws a
 * {@linkcode DeletedSliceError}; on a slice of a closed map, a
 * {@linkcode ClosedError}.
 *
 * @example
 * ```ts
 * import { open } from "@memmap/memmap";
 * import assert from "node:assert/strict";
 *
 * using map = open("example.dat", "w+", { length: 48 });
 * const header = map.slice(0, 16);
 * header.bytes.set([0x89, 0x50]);
 * new DataView(header.buffer).setUint32(8, 48);
 * assert.equal(header.bytes[11], 48);
 * ```
 */
export class MemmapSlice implements Disposable {
  readonly #map: Memmap;
  readonly #open: OpenMap;
  readonly #extent: SliceExtent;

  static {
    makeSlice = (map, open, extent) => new MemmapSlice(KEY, map, open, extent);
    insideOf = (value) =>
      !(#extent in value) ? undefined : {
        open: value.#open,
        extent: value.#extent,
        checkUsable: () => value.#use(),
      };
    printAsString(MemmapSlice, (value) => #extent in value);
  }

  private constructor(
    key: typeof KEY,
    map: Memmap,
    open: OpenMap,
    extent: SliceExtent,
  ) {
    if (key !== KEY) {
      throw new TypeError("Slices are made by map.slice() and map.insert().");
    }
    this.#map = map;
    this.#open = open;
    this.#extent = extent;
  }

  /** The map that the slice belongs to. */
  get map(): Memmap {
    return this.#map;
  }

  /** Where the slice began in the file at the last flush, in bytes. */
  get begin(): number {
    return this.#use().begin;
  }

  /** Where the slice ended in the file at the last flush, in bytes. */
  get end(): number {
    return this.#use().end;
  }

  /** Bytes of the slice now. */
  get length(): number {
    return this.#use().length;
  }

  /** Where the slice's bytes are. Never throws. */
  get state(): SliceState {
    return this.#extent.state;
  }

  /** Whether the slice's bytes may be written. False in mode `r`. */
  get writable(): boolean {
    this.#use();
    return this.#open.isEditable;
  }

  /** Whether the slice was resized or inserted since the last flush. */
  get dirty(): boolean {
    return this.#use().isFloating;
  }

  /**
   * Exactly this slice's bytes as an ArrayBuffer, without a copy. It stays the same
   * object until the slice is resized, moved, deleted or closed, which detaches it.
   *
   * In mode `r`, a write through it changes this process's copy of a page, never the
   * file.
   *
   * @throws {RangeError} if the slice is larger than the runtime's largest
   * ArrayBuffer (4 GiB in Bun).
   */
  get buffer(): ArrayBuffer {
    return this.#use().view().buffer;
  }

  /** The bytes of {@linkcode MemmapSlice.buffer}. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#use().view().bytes;
  }

  /**
   * Copies `source` into the slice at `offset`, 0 by default, as `Uint8Array.set`
   * does: numbers count modulo 256, and a negative offset is a `RangeError`. Of
   * buffers and DataViews, all bytes are copied. The source is read before the first
   * byte is written, also where it is another view of the same bytes.
   *
   * @throws {ReadonlyError} in mode `r`.
   * @throws {RangeError} if it does not fit.
   * @throws {TypeError} if it is not a source of bytes, holds what is no number, or is
   * a stale view.
   */
  set(
    source: ArrayLike<number> | ArrayBufferLike | ArrayBufferView,
    offset?: number,
  ): void {
    checkCount(arguments.length, 2, "set(source, offset)");
    let extent = this.#edit();
    let values = source as Numbers;
    let length = isAnyView(source) ? lengthOfTyped(source) : 0;
    if (length === 0) {
      // May run the caller's code. Nothing larger than the slice has to be read.
      values = numbersIn(source, extent.length);
      extent = this.#edit();
      length = lengthOfTyped(values);
    }
    const at = offset === undefined ? 0 : checkTarget(offset, extent.length);
    if (length > extent.length - at) {
      throw noRoom(length, ` at ${at}`, extent.length, "slice");
    }
    const limit = runtime().maxBufferLength;
    if (extent.length <= limit) {
      extent.write(extent.view(), values, at);
    } else {
      const { mapping, offset: base } = extent;
      const end = Math.min(at + limit, extent.length);
      mapping.borrow(
        base + at,
        base + end,
        (bytes) => extent.write({ mapping, bytes }, values, 0),
      );
    }
  }

  /**
   * Sets the bytes from `begin` to `end`, by default all, to `value` modulo 256.
   * Negative offsets count from the end.
   *
   * @throws {ReadonlyError} in mode `r`.
   * @throws {RangeError} if the range lies outside the slice.
   * @throws {TypeError} if the value is no number.
   */
  fill(value: number, begin?: number, end?: number): void {
    checkCount(arguments.length, 3, "fill(value, begin, end)");
    if (typeof value !== "number") {
      throw new TypeError(
        `The value to fill with must be a number, not ${shown(value)}.`,
      );
    }
    const extent = this.#edit();
    const [from, to] = checkRange(begin, end, extent.length, "slice");
    extent.mapping.fill(value & 0xff, extent.offset + from, to - from);
  }

  /**
   * A copy of the bytes from `begin` to `end`, by default all, by the rules of
   * `TypedArray.prototype.slice`: nothing throws, offsets are clamped.
   */
  slice(begin?: number, end?: number): Uint8Array<ArrayBuffer> {
    checkCount(arguments.length, 2, "slice(begin, end)");
    // May run the caller's code, so it comes before any look at the slice.
    const first = begin === undefined ? 0 : Number(begin);
    const last = end === undefined ? undefined : Number(end);
    const extent = this.#use();
    const [from, to] = clampRange(first, last ?? extent.length, extent.length);
    if (from === to) return new Uint8Array(0);
    return extent.mapping.borrow(
      extent.offset + from,
      extent.offset + to,
      (bytes) => new Uint8Array(bytes),
    );
  }

  /**
   * The offset within the slice of the first occurrence of `pattern` within `begin`
   * to `end`, or -1. A string is searched for as UTF-8. An empty pattern is found at
   * `begin`. Negative offsets count from the end.
   *
   * @throws {RangeError} if the range lies outside the slice.
   */
  find(
    pattern: string | Uint8Array,
    begin?: number,
    end?: number,
  ): number {
    checkCount(arguments.length, 3, "find(pattern, begin, end)");
    return this.#search(findFirst, pattern, begin, end);
  }

  /** As {@linkcode MemmapSlice.find}, but the last occurrence; an empty pattern is found at `end`. */
  rfind(
    pattern: string | Uint8Array,
    begin?: number,
    end?: number,
  ): number {
    checkCount(arguments.length, 3, "rfind(pattern, begin, end)");
    return this.#search(findLast, pattern, begin, end);
  }

  /**
   * The slice's bytes as an array: typed, of any shape, in either byte order, at any
   * alignment. Nothing is copied, and the array follows the slice.
   *
   * `type` is a name such as `"float64"`, a type string of numpy's (`">f8"`), or a
   * name of numarray's (`"Float64"`). Without a shape, the array has one axis, of as
   * many whole elements as fit. `strides: [37]` is every 37th byte: one field of packed
   * records.
   *
   * @example
   * ```ts
   * import { open } from "@memmap/memmap";
   * import assert from "node:assert/strict";
   *
   * using map = open("example.dat", "w+", { length: 53 });
   * // Six big-endian doubles, two rows of three, behind a header of 5 bytes.
   * const a = map.slice().array(">f8", { shape: [2, 3], byteOffset: 5 });
   * a.set(1, 2, Math.PI);
   * assert.equal(a.get(1, 2), Math.PI);
   * ```
   *
   * @throws {TypeError} if there is no such type.
   * @throws {RangeError} if the shape's bytes exceed the slice, or the slice exceeds
   * the runtime's largest ArrayBuffer (4 GiB in Bun).
   */
  array<N extends TypeName>(
    type: N,
    options?: ArrayOptions,
  ): MemmapArray<DTypeOf<N>> {
    checkCount(arguments.length, 2, "array(type, { shape, byteOrder, … })");
    const read = readOptions(options, ARRAY_OPTIONS, "{ shape: [2, 3] }");
    return makeArray(this.#use(), type, read);
  }

  /**
   * The slice's bytes as an array of strings of a fixed length: numarray's
   * `CharArray`. Nothing is copied, and the array follows the slice.
   *
   * `type` is `"S16"` for strings of 16 bytes, in UTF-8 unless `encoding` says
   * otherwise (numarray's `"a16"` is the same), or numpy's `"U16"` for strings of 16
   * code points of 4 bytes each. Shape, strides and the like are those of
   * {@linkcode MemmapSlice.array}.
   *
   * @example
   * ```ts
   * import { open } from "@memmap/memmap";
   * import assert from "node:assert/strict";
   *
   * using map = open("example.dat", "w+", { length: 24 });
   * const keys = map.slice().strings("S8", { padding: "space" });
   * keys.set(0, "SIMPLE");
   * assert.deepEqual([...map.read(5, 8)], [69, 32, 32]);
   * assert.equal(keys.get(0), "SIMPLE");
   * ```
   *
   * @throws {TypeError} if there is no such type.
   * @throws {RangeError} if the shape's bytes exceed the slice.
   */
  strings(type: StringName, options?: StringOptions): MemmapStrings {
    checkCount(arguments.length, 2, "strings(type, { shape, encoding, … })");
    const read = readOptions(options, STRING_OPTIONS, '{ padding: "space" }');
    return makeStrings(this.#use(), type, read);
  }

  /**
   * The slice's bytes as records: numarray's `RecArray`, numpy's structured arrays.
   * Nothing is copied, and the array follows the slice.
   *
   * `fields` is a list of names and types, with a shape where a field is an array, as
   * numpy's `descr` has it, so that what a `.npy` file's header says can be passed on; or
   * an object. A type may be a list of fields again. Fields lie side by side, unless
   * `align` or `offsets` say otherwise.
   *
   * @example
   * ```ts
   * import { open } from "@memmap/memmap";
   * import assert from "node:assert/strict";
   *
   * using map = open("example.dat", "w+", { length: 3 * 37 });
   * const ticks = map.slice().records([
   *   ["id", ">u4"],
   *   ["price", "<f8"],
   *   ["name", "S16"],
   *   ["time", "<i8"],
   *   ["flag", "u1"],
   * ]);
   * ticks.set(1, { price: 2.5, name: "ABC" });
   * assert.deepEqual([...ticks.field("price")], [0, 2.5, 0]);
   * ```
   *
   * @throws {TypeError} if a field has no known type, or two have one name.
   * @throws {RangeError} if the shape's bytes exceed the slice.
   */
  records<const F extends Fields>(
    fields: F,
    options?: RecordOptions,
  ): MemmapRecords<F> {
    checkCount(arguments.length, 2, "records(fields, { shape, align, … })");
    const read = readOptions(options, RECORD_OPTIONS, "{ align: true }");
    return makeRecords(this.#use(), fields, read);
  }

  /**
   * Grows the slice with zero bytes, or cuts its tail, to `length` bytes. The slice
   * floats from then on, and the map's `length` changes with it. The file changes at
   * the next {@linkcode Memmap.flush}. At the same length nothing happens.
   *
   * @example
   * ```ts
   * import { open } from "@memmap/memmap";
   * import assert from "node:assert/strict";
   *
   * using map = open("example.dat", "w+", { length: 48 });
   * const slice = map.slice(0, 16);
   * slice.resize(24);
   * assert.equal(slice.state, "floating");
   * assert.equal(map.length, 56);
   * map.flush();
   * assert.equal(slice.state, "mapped");
   * ```
   *
   * @throws {ReadonlyError} in mode `r`.
   * @throws {RangeError} if `length` is not a whole number of bytes.
   */
  resize(length: number): void {
    checkCount(arguments.length, 1, "resize(length)");
    const extent = this.#edit();
    checkLength(length, "slice length"); // runs no code of the caller's
    extent.resize(length);
  }

  /**
   * Replaces `deleteCount` bytes at `offset` with `content`: that many zero bytes, or
   * a copy of the given ones; none by default. The slice floats from then on. A
   * negative offset counts from the end.
   *
   * @throws {ReadonlyError} in mode `r`.
   * @throws {RangeError} if the replaced bytes lie outside the slice.
   */
  splice(
    offset: number,
    deleteCount: number,
    content?: number | ArrayBuffer | ArrayBufferView,
  ): void {
    checkCount(arguments.length, 3, "splice(offset, deleteCount, content)");
    this.#edit();
    const checked = checkContent(content === undefined ? 0 : content);
    const extent = this.#edit();
    const at = checkSpan(offset, deleteCount, extent.length, "slice");
    if (deleteCount === 0 && contentLength(checked) === 0) return;
    extent.splice(at, deleteCount, checked);
  }

  /**
   * Waits until the slice's bytes are on disk (`msync(MS_SYNC)`). A floating slice has
   * none in the file yet, so nothing happens.
   *
   * @throws {ReadonlyError} in modes `r` and `c`.
   * @throws {SystemError} if the disk fails.
   */
  sync(): void {
    checkCount(arguments.length, 0, "sync(), for the whole slice");
    const extent = this.#use();
    this.#open.checkWritable("sync");
    if (!extent.isFloating) this.#open.sync(extent.begin, extent.end);
  }

  /** Unregisters the slice; see {@linkcode Memmap.delete}. */
  delete(): void {
    checkCount(
      arguments.length,
      0,
      "delete() unregisters the whole slice, whose bytes stay in the file. To remove " +
        "bytes, call splice(offset, count)",
    );
    this.#open.delete(this.#use());
  }

  /** Deletes the slice if it is still registered. */
  [Symbol.dispose](): void {
    if (this.#extent.isDeleted || this.#open.state.isClosed) return;
    this.#open.delete(this.#use());
  }

  /** `<MemmapSlice of length:16 writable>`, numarray's form. */
  toString(): string {
    const { state } = this.#extent;
    if (state === "deleted" || state === "closed") {
      return `<MemmapSlice ${state}>`;
    }
    const access = this.#open.isEditable ? "writable" : "readonly";
    return `<MemmapSlice of length:${this.#extent.length} ${access}>`;
  }

  #use(): SliceExtent {
    this.#extent.checkUsable();
    return this.#extent;
  }

  #edit(): SliceExtent {
    const extent = this.#use();
    this.#open.checkEditable();
    return extent;
  }

  #search(
    search: typeof findFirst,
    pattern: string | Uint8Array,
    begin: number | undefined,
    end: number | undefined,
  ): number {
    this.#use();
    const bytes = patternBytes(pattern);
    const extent = this.#use();
    const [from, to] = checkRange(begin, end, extent.length, "slice");
    const { mapping, offset } = extent;
    const found = search(mapping, bytes, offset + from, offset + to);
    return found === -1 ? -1 : found - offset;
  }
}

/**
 * Checks bytes to insert. Returns a number of zero bytes, or a plain view of the
 * given bytes, whose length no subclass can change any more.
 */
export function checkContent(
  content: number | ArrayBuffer | ArrayBufferView,
): Content {
  if (typeof content === "number") {
    return checkLength(content, "content length");
  }
  const bytes = bytesIn(content);
  if (bytes !== undefined) return bytes;
  throw new TypeError(
    "Content must be a number of zero bytes, an ArrayBuffer, or a view of one, not " +
      `${
        shown(content)
      }. Encode text with TextEncoder, and put numbers into a ` +
      "Uint8Array.",
  );
}
